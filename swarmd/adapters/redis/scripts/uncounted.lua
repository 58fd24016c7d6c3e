-- include: _types
-- include: _added
-- How many entries of each stream are not counted in `_ends`: somebody else wrote them. Where the count is lost, or is
-- more than the stream has had, or the same and of other entries, that is another stream: its end is kept from now on.
-- KEYS[1] ends  KEYS[2…] streams  ARGV[…] their channels, in the same order
-- Returns a number for each: of entries that are not counted, or below 0 how many there are where the count is made
-- anew. Costs one XINFO STREAM each.
local wrong = wrong_type(KEYS[1], 'hash')
if wrong then return wrong end
local known, found = redis.call('HMGET', KEYS[1], unpack(ARGV)), {}
for i, channel in ipairs(ARGV) do
  local added, last = added_to(KEYS[i + 1])
  local id, count, upto = string.match(known[i] or '', '^(%d+%-%d+) (%d+) ?([%d%-]*)$')
  count = tonumber(count or 0)
  if not added then
    if known[i] then redis.call('HDEL', KEYS[1], channel) end
    found[i] = 0
  elseif not id or count > added or (count == added and (upto ~= '' and upto or id) ~= last) then
    redis.call('HSET', KEYS[1], channel, last .. ' ' .. string.format('%.0f', added))
    found[i] = 0 - added
  else found[i] = added - count end
end
return found
