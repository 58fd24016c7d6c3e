-- include: _hold
-- Before each call of a model or a tool: fence, incarnation, lease, privilege, reservation, step journal.
-- KEYS[1] agent  KEYS[2] fences  KEYS[3] host  KEYS[4] use  KEYS[5] ledger  KEYS[6] steps  KEYS[7] facts
-- ARGV[1] incarnation  ARGV[2] lease  ARGV[3] host  ARGV[4] turn:step  ARGV[5] begin record (JSON)
-- ARGV[6] the turn's batch (JSON, kept from the first step on)  ARGV[7] tokens to reserve  ARGV[8] calls to reserve
-- ARGV[9] agent id  ARGV[10] account id  ARGV[11] at
-- ARGV[12] number of segments, the segments, then the privilege paths any one of which suffices (none: not asked)
-- Returns {'begun'} | {'ended', result} | {'refused', rule, detail}. Idempotent for one lease.
local segments, wanted = {}, {}
local n = tonumber(ARGV[12])
for i = 13, 12 + n do segments[#segments + 1] = ARGV[i] end
for i = 13 + n, #ARGV do wanted[#wanted + 1] = ARGV[i] end

local function refuse(rule, detail)
  redis.call('XADD', KEYS[7], '*', 'fact', 'refuse', 'agent', ARGV[9], 'account', ARGV[10], 'step', ARGV[4],
    'rule', rule, 'detail', detail, 'at', ARGV[11])
  return {'refused', rule, detail}
end

local rule, detail = refusal(KEYS[1], KEYS[3], KEYS[2], segments, ARGV[1], ARGV[2], ARGV[3])
if rule then return refuse(rule, detail) end
-- What ended is answered as it was: a successor resumes without paying again.
local before = redis.call('HMGET', KEYS[6], ARGV[4] .. ':b', ARGV[4] .. ':e')
if before[2] then return {'ended', before[2]} end

local open = before[1] and cjson.decode(before[1])
if open and tostring(open.lease) == ARGV[2] then return {'begun'} end

if #wanted > 0 then
  local held = redis.call('SMISMEMBER', KEYS[4], unpack(wanted))
  local may = false
  for i = 1, #held do if held[i] == 1 then may = true end end
  if not may then return refuse('privilege.use', wanted[1]) end
end

-- A former holder began this step and never ended it: settled at its full reserve.
if open then
  for _, kind in ipairs({'tokens', 'calls'}) do
    redis.call('HINCRBY', KEYS[5], kind .. '.reserved', 0 - open[kind])
    redis.call('HINCRBY', KEYS[5], kind .. '.spent', open[kind])
  end
  redis.call('XADD', KEYS[7], '*', 'fact', 'settle', 'agent', ARGV[9], 'account', ARGV[10], 'step', ARGV[4],
    'tokens', open.tokens, 'calls', open.calls, 'assumed', '1', 'at', ARGV[11])
  redis.call('HDEL', KEYS[6], ARGV[4] .. ':b')
end

local free = redis.call('HMGET', KEYS[5], 'tokens.free', 'calls.free')
if tonumber(free[1] or 0) < tonumber(ARGV[7]) then
  return refuse('budget.exhausted', 'tokens: ' .. ARGV[7] .. ' needed, ' .. (free[1] or '0') .. ' free')
end
if tonumber(free[2] or 0) < tonumber(ARGV[8]) then
  return refuse('budget.exhausted', 'calls: ' .. ARGV[8] .. ' needed, ' .. (free[2] or '0') .. ' free')
end
-- `0 - x`, never `-x`: a negated zero reaches Redis 7.0 as `-0`, which is no integer to it.
for i, kind in ipairs({'tokens', 'calls'}) do
  redis.call('HINCRBY', KEYS[5], kind .. '.free', 0 - ARGV[6 + i])
  redis.call('HINCRBY', KEYS[5], kind .. '.reserved', ARGV[6 + i])
end
redis.call('HSETNX', KEYS[6], string.match(ARGV[4], '^%d+') .. ':batch', ARGV[6])
redis.call('HSET', KEYS[6], ARGV[4] .. ':b', ARGV[5])
redis.call('XADD', KEYS[7], '*', 'fact', 'reserve', 'agent', ARGV[9], 'account', ARGV[10], 'step', ARGV[4],
  'tokens', ARGV[7], 'calls', ARGV[8], 'at', ARGV[11])
return {'begun'}
