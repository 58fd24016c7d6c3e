-- Included by the scripts that post. One post: append, mark, ring.
--   stream   the key, also the pub/sub channel's name
--   heads    sorted set of channels by their last post's global number
--   posts    counter of posts
--   channel  the channel's name in heads
--   body     the ring without its id: `"channel":…}`
--   fields   flat fields of the entry
-- Returns the stream id. Costs one XREVRANGE of one entry, XADD, INCR, ZADD, PUBLISH.
local function post(stream, heads, posts, channel, body, fields)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  local prev = last[1] and last[1][1] or '0-0'
  local id = redis.call('XADD', stream, '*', unpack(fields))
  redis.call('ZADD', heads, redis.call('INCR', posts), channel)
  redis.call('PUBLISH', stream, '{"id":"' .. id .. '","prev":"' .. prev .. '",' .. body)
  return id
end
