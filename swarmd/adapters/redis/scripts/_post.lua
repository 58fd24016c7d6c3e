-- Included by the scripts that post. One post: append, mark, ring.
--   stream   the key, also the pub/sub channel's name
--   heads    sorted set of channels by their last post's global number
--   posts    counter of posts
--   channel  the channel's name in heads and in a ring
--   line     the message, one line of JSON: the one field of the entry, and what rings with `id prev channel` before it
--   preview  what rings instead, where the line is too long for a ring; '' or nil where it is not
-- Both return the stream id. `append` costs one XREVRANGE of one entry, XADD, PUBLISH; the mark (INCR, ZADD) as
-- much as the append itself, so a script that posts often to one channel marks it once.
local function append(stream, channel, line, preview)
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  local prev = newest[1] and newest[1][1] or '0-0'
  local id = redis.call('XADD', stream, '*', 'm', line)
  if preview and preview ~= '' then line = preview end
  -- A ring that this user may not send is a lost ring, which costs a sweep: the entry is there, and must not be
  -- written a second time by a script that broke off here and is sent again.
  redis.pcall('PUBLISH', stream, '{"id":"' .. id .. '","prev":"' .. prev .. '","channel":"' .. channel .. '",'
    .. string.sub(line, 2))
  return id
end

local function post(stream, heads, posts, channel, line, preview)
  local id = append(stream, channel, line, preview)
  redis.call('ZADD', heads, redis.call('INCR', posts), channel)
  return id
end
