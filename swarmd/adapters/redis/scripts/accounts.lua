-- Accounts and the facts that they hold, at one moment. Writes nothing.
-- KEYS[1] facts  KEYS[2…] accounts  ARGV[1] facts from here on (an id as XRANGE takes it), empty: none is asked for
-- Returns {the last fact's id, the facts, then each account's hash as it lies}. Costs one HGETALL each.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local found = {last[1] and last[1][1] or '0-0', {}}
if ARGV[1] ~= '' then found[2] = redis.call('XRANGE', KEYS[1], ARGV[1], '+') end
-- Of a key that is no account there is none.
for k = 2, #KEYS do
  local row = redis.pcall('HGETALL', KEYS[k])
  found[#found + 1] = row.err and {} or row
end
return found
