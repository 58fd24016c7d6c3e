-- The supervisor's lease and its fencing number.
-- KEYS[1] leader  KEYS[2] fencing counter
-- ARGV[1] host  ARGV[2] milliseconds
-- Returns the fencing number, or 0 where another leads.
local now = redis.call('GET', KEYS[1])
local number, host = string.match(now or '', '^(%d+):(.*)$')
-- A host's id is its own: under whichever number it leads, also where the reply to its first take was lost.
if host == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(number)
end
if now then return 0 end
local taken = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], taken .. ':' .. ARGV[1], 'PX', ARGV[2])
return taken
