-- The supervisor's lease and its fencing number.
-- KEYS[1] leader  KEYS[2] fencing counter
-- ARGV[1] host  ARGV[2] milliseconds  ARGV[3] the number this host leads under, '0' where it does not
-- Returns the fencing number, or 0 where another leads.
local now = redis.call('GET', KEYS[1])
if now == ARGV[3] .. ':' .. ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(ARGV[3])
end
if now then return 0 end
local number = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], number .. ':' .. ARGV[1], 'PX', ARGV[2])
return number
