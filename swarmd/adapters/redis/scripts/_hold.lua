-- Included by the scripts that act for an agent: does this host still hold it, and may it act?
--   agent        its record      host_key  the host's lease
--   fences       fenced segments segments  the path's segments
-- Returns nil, or the name of the rule that says no and a detail.
local function refusal(agent, host_key, fences, segments, incarnation, lease, host)
  local a = redis.call('HMGET', agent, 'state', 'incarnation', 'lease', 'host')
  if not a[1] then return 'agent.unknown', 'no such agent' end
  local marks = redis.call('HMGET', fences, unpack(segments))
  for i = 1, #segments do
    if marks[i] then return 'fence.path', segments[i] end
  end
  if a[2] ~= incarnation then return 'incarnation.former', 'now ' .. a[2] end
  if a[3] ~= lease or a[4] ~= host then return 'lease.lost', 'held by ' .. a[4] end
  if a[1] ~= 'live' then return 'fence.path', 'state is ' .. a[1] end
  if redis.call('EXISTS', host_key) == 0 then return 'lease.lost', 'the host did not renew' end
  return nil
end
