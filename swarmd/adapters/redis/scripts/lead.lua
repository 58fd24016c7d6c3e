-- The supervisor's lease and its fencing number.
-- KEYS[1] leader  KEYS[2] fencing counter  KEYS[3] the swarm's own facts
-- ARGV[1] host  ARGV[2] milliseconds; 0 steps down  ARGV[3] when they are over, in milliseconds since the epoch
-- Returns the fencing number, or 0 where another leads.
-- The key is `NUMBER:HOST`, and lives until one lease after the last renewal. Who steps down takes its name out and
-- leaves the key to run out: another may lead at once, and agents go on meanwhile (begin.lua) as they do when a leader
-- is killed and replaced within its lease.
local now = redis.call('GET', KEYS[1])
local number, host = string.match(now or '', '^(%d+):(.*)$')
local steps_down = ARGV[2] == '0'
-- Until when somebody led, for a successor who comes when the key has gone. A lead does not fail for a damaged key.
local function note() redis.pcall('HSET', KEYS[3], 'led', ARGV[3]) end
-- A host's id is its own: under whichever number it leads, also where the reply to its first take was lost.
if host == ARGV[1] then
  if steps_down then redis.call('SET', KEYS[1], number .. ':', 'KEEPTTL')
  else
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    note()
  end
  return tonumber(number)
end
if steps_down or (now and host ~= '') then return 0 end
local taken = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], taken .. ':' .. ARGV[1], 'PX', ARGV[2])
note()
return taken
