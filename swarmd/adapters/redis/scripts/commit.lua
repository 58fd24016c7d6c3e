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
redis.call('UNLINK', KEYS[5])

-- Loops are cut here, outside any model: the turn is committed, what it would have caused is not.
if tonumber(ARGV[7]) > tonumber(ARGV[8]) and #KEYS > 8 then
  redis.call('XADD', KEYS[8], '*', 'fact', 'refuse', 'agent', ARGV[5], 'step', ARGV[4], 'rule', 'bus.hops',
    'detail', (#KEYS - 8) .. ' outputs at hop ' .. ARGV[7], 'at', ARGV[6])
  return {'looped'}
end
for k = 9, #KEYS do
  local fields, n = {}, tonumber(ARGV[at + 2])
  for i = 1, n do fields[i] = ARGV[at + 2 + i] end
  post(KEYS[k], KEYS[6], KEYS[7], ARGV[at], ARGV[at + 1], fields)
  at = at + 3 + n
end
return {'done'}
