-- include: _types
-- A key of another type than ours, moved out of the way under a name that nobody reads. What is of our type stays.
-- KEYS[1] key  KEYS[2] the name that it is kept under  KEYS[3] ends
-- ARGV[1] our type  ARGV[2] '1' where it must be a counter  ARGV[3] the channel whose end is kept, or empty
-- Returns the type that was found, or '' where nothing was wrong. Costs one RENAME, and of a stream XADD and XDEL.
local wrong = ARGV[2] == '1' and wrong_counter(KEYS[1]) or wrong_type(KEYS[1], ARGV[1])
if not wrong then return '' end
local found = redis.call('TYPE', KEYS[1]).ok
redis.call('RENAME', KEYS[1], KEYS[2])
-- An empty stream in its place: who has read of it goes on behind its last id, and nothing asks for what is not there.
if ARGV[1] == 'stream' then
  local id = redis.call('XADD', KEYS[1], '*', 'set', 'aside')
  redis.call('XDEL', KEYS[1], id)
  if ARGV[3] ~= '' then redis.pcall('HSET', KEYS[3], ARGV[3], id .. ' 1') end
end
return found
