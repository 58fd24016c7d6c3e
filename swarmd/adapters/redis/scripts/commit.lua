-- include: _hold
-- include: _post
-- The end of a turn, in one step: positions, state and outputs, under the turn's number.
-- KEYS[1] agent  KEYS[2] fences  KEYS[3] host  KEYS[4] state  KEYS[5] steps  KEYS[6] heads  KEYS[7] posts  KEYS[8] facts
-- KEYS[9…] one stream for each output
-- ARGV[1] incarnation  ARGV[2] lease  ARGV[3] host  ARGV[4] turn  ARGV[5] agent id  ARGV[6] at
-- ARGV[7] hops of the turn  ARGV[8] hops allowed  ARGV[9] number of segments  ARGV[10] number of state pairs
-- then the segments, the state's field/value pairs, and for each output: channel, ring body, number of fields, fields
-- Returns {'done'} | {'again'} (this turn was committed before) | {'looped'} (committed, its outputs cut) |
-- {'refused', rule, detail}.
local state = tonumber(redis.call('HGET', KEYS[4], 'turn') or '0')
local turn = tonumber(ARGV[4])
if state == turn then return {'again'} end

local at = 11
local segments = {}
for _ = 1, tonumber(ARGV[9]) do segments[#segments + 1] = ARGV[at]; at = at + 1 end
local rule, detail = refusal(KEYS[1], KEYS[3], KEYS[2], segments, ARGV[1], ARGV[2], ARGV[3])
if not rule and state ~= turn - 1 then rule, detail = 'lease.lost', 'turn ' .. turn .. ' after ' .. state end
if rule then
  redis.call('XADD', KEYS[8], '*', 'fact', 'refuse', 'agent', ARGV[5], 'step', ARGV[4], 'rule', rule,
    'detail', detail, 'at', ARGV[6])
  return {'refused', rule, detail}
end

local pairs_ = {'turn', turn}
for _ = 1, 2 * tonumber(ARGV[10]) do pairs_[#pairs_ + 1] = ARGV[at]; at = at + 1 end
redis.call('HSET', KEYS[4], unpack(pairs_))

-- The step journal goes, but for calls that a former holder began and this turn never came to: what they reserved
-- is settled by their late `end`, or when the account is closed.
local fields, is_there, gone = redis.call('HKEYS', KEYS[5]), {}, {}
for _, step in ipairs(fields) do is_there[step] = true end
for _, step in ipairs(fields) do
  local call = string.match(step, '^(.*):b$')
  if not call or is_there[call .. ':e'] then gone[#gone + 1] = step end
end
if #gone > 0 then redis.call('HDEL', KEYS[5], unpack(gone)) end

-- Loops are cut here, outside any model: the turn is committed, what it would have caused is not.
if tonumber(ARGV[7]) > tonumber(ARGV[8]) and #KEYS > 8 then
  redis.call('XADD', KEYS[8], '*', 'fact', 'refuse', 'agent', ARGV[5], 'step', ARGV[4], 'rule', 'bus.hops',
    'detail', (#KEYS - 8) .. ' outputs at hop ' .. ARGV[7], 'at', ARGV[6])
  return {'looped'}
end
-- Each channel is marked once, however many of the outputs go there, and with a number of its own: readers ask
-- for what is beyond a number, a page at a time.
local marks, is_marked = {}, {}
for k = 9, #KEYS do
  local last = at + 2 + tonumber(ARGV[at + 2])
  append(KEYS[k], ARGV[at + 1], ARGV, at + 3, last)
  if not is_marked[KEYS[k]] then
    is_marked[KEYS[k]] = true
    marks[#marks + 1] = redis.call('INCR', KEYS[7])
    marks[#marks + 1] = ARGV[at]
  end
  at = last + 1
end
if #marks > 0 then redis.call('ZADD', KEYS[6], unpack(marks)) end
return {'done'}
