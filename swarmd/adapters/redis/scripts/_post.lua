-- Included, behind _types and _added, by the scripts that post. One post: append, mark, ring.
--   hash     `_ends`: channel -> `ID COUNT` or `ID COUNT UPTO`, the last entry that these scripts wrote to its stream,
--            and how many it had then. What they write is counted here in the same step, so what the server has added
--            beyond it was written by somebody else (uncounted.lua). That is counted too when it is recorded, to UPTO
--   stream   the key, also the pub/sub channel's name
--   channel  the channel's name in `_ends`, in the marks and in a ring
--   line     the message, one line of JSON: the one field of the entry, and what rings with `id prev channel` before it
--   preview  what rings instead, where the line is too long for a ring; '' or nil where it is not
-- A script reads the ends of all channels that it posts to with `ends_of` before it writes anything, appends, and
-- writes them back with `keep_ends`: two commands, however many posts there are. A post costs XADD and PUBLISH.
local ENDS_AT_ONCE = 1000 -- Lua puts no more than some 8,000 words into one command

-- Returns channel -> {id, count, up to}; or nil, and what the script answers. Of a channel that is new, or whose end
-- was lost, it is what the stream says: where somebody else wrote the last entry, the ring names that, and every
-- reader looks.
local END = '^(%d+%-%d+) (%d+) ?([%d%-]*)$'

local function ends_of(hash, channels, streams)
  local ends = {}
  for from = 1, #channels, ENDS_AT_ONCE do
    local to = math.min(#channels, from + ENDS_AT_ONCE - 1)
    local found = redis.pcall('HMGET', hash, unpack(channels, from, to))
    if found.err then return nil, wrong_type(hash, 'hash') or found end
    for i = from, to do
      local id, count, upto = string.match(found[i - from + 1] or '', END)
      if not id then count, id = added_to(streams[i]) end
      ends[channels[i]] = {id or '0-0', tonumber(count or 0), upto or ''}
    end
  end
  return ends
end

local function keep_ends(hash, ends, channels)
  for from = 1, #channels, ENDS_AT_ONCE do
    local pairs_ = {}
    for i = from, math.min(#channels, from + ENDS_AT_ONCE - 1) do
      local last = ends[channels[i]]
      pairs_[#pairs_ + 1] = channels[i]
      local upto = (last[3] or '') ~= '' and ' ' .. last[3] or ''
      pairs_[#pairs_ + 1] = last[1] .. ' ' .. string.format('%.0f', last[2]) .. upto
    end
    redis.call('HSET', hash, unpack(pairs_))
  end
end

-- Returns the stream id. `last` is the channel's end, which the post moves.
local function append(last, stream, channel, line, preview)
  local id = redis.call('XADD', stream, '*', 'm', line)
  if preview and preview ~= '' then line = preview end
  -- A ring that this user may not send is a lost ring, which costs a sweep: the entry is there, and must not be
  -- written a second time by a script that broke off here and is sent again.
  redis.pcall('PUBLISH', stream, '{"id":"' .. id .. '","prev":"' .. last[1] .. '","channel":"' .. channel .. '",'
    .. string.sub(line, 2))
  last[1], last[2], last[3] = id, last[2] + 1, ''
  return id
end
