-- include: _types
-- include: _added
-- include: _post
-- A post from outside an agent's turn (operator, submitter, host). With a key it happens once an hour.
-- KEYS[1] stream  KEYS[2] heads  KEYS[3] posts  KEYS[4] once key (equal to KEYS[1]: no key given)  KEYS[5] ends
-- ARGV[1] channel  ARGV[2] line  ARGV[3] what rings instead, or empty  ARGV[4] seconds to remember the key
-- Returns the stream id, of the first post where the key was seen before.
if KEYS[4] ~= KEYS[1] then
  local before = redis.call('GET', KEYS[4])
  if before then return before end
end
local wrong = wrong_type(KEYS[1], 'stream') or wrong_for_posting(KEYS[2], KEYS[3])
if wrong then return wrong end
local channel = ARGV[1]
local ends, wrong_ends = ends_of(KEYS[5], {channel}, {KEYS[1]})
if not ends then return wrong_ends end
local id = append(ends[channel], KEYS[1], channel, ARGV[2], ARGV[3])
keep_ends(KEYS[5], ends, {channel})
redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), channel)
if KEYS[4] ~= KEYS[1] then redis.call('SET', KEYS[4], id, 'EX', ARGV[4]) end
return id
