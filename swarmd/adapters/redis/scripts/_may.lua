-- Included by the scripts that check a privilege: does the agent hold the right to use one of these paths, and has no
-- mark on its path cut it?
--   use       the agent's paths -> number      marks   revocations by segment: JSON [[path, number, right], …]
--   segments  the path's segments              wanted  the paths any one of which suffices, the plain one first
-- Returns nil, or the rule that says no. A mark cuts the holdings with a smaller number (core/model/privileges.py).
local function not_held(use, marks, segments, wanted)
  local held = redis.call('HMGET', use, unpack(wanted))
  local newest = nil
  for i = 1, #wanted do
    local number = held[i] and tonumber(held[i])
    if number and (not newest or number > newest) then newest = number end
  end
  if not newest then return 'privilege.use' end
  local covering = {}
  for i = 1, #wanted do covering[wanted[i]] = true end
  local found = redis.call('HMGET', marks, unpack(segments))
  for i = 1, #segments do
    if found[i] then
      local is_json, those = pcall(cjson.decode, found[i])
      -- Of marks that cannot be read it is not known what they cut: all, until they are mended.
      if not is_json or type(those) ~= 'table' then return 'privilege.revoked' end
      for _, mark in ipairs(those) do
        if covering[mark[1]] and mark[2] > newest and mark[3] ~= 'grant' then return 'privilege.revoked' end
      end
    end
  end
  return nil
end
