-- After each call: the result into the step journal, the reservation settled. Happens also when the agent was
-- fenced or moved meanwhile: what was paid is always in the account.
-- KEYS[1] ledger  KEYS[2] steps  KEYS[3] facts
-- ARGV[1] turn:step  ARGV[2] lease  ARGV[3] result (JSON)  ARGV[4] tokens used  ARGV[5] '1' where that is assumed
-- ARGV[6] agent id  ARGV[7] account id  ARGV[8] at
-- Returns {'settled'} | {'again'} (ended before) | {'former'} (a successor or the reaper settled it).
local before = redis.call('HMGET', KEYS[2], ARGV[1] .. ':b', ARGV[1] .. ':e')
if not before[1] then return {'former'} end
local open = cjson.decode(before[1])
if tostring(open.lease) ~= ARGV[2] then return {'former'} end
if before[2] then return {'again'} end

local used, reserve = tonumber(ARGV[4]), open.tokens
local beyond = math.max(0, used - reserve)
redis.call('HINCRBY', KEYS[1], 'tokens.reserved', 0 - reserve)
redis.call('HINCRBY', KEYS[1], 'tokens.spent', used)
redis.call('HINCRBY', KEYS[1], 'tokens.free', reserve - (used - beyond))
if beyond > 0 then redis.call('HINCRBY', KEYS[1], 'tokens.overdraft', beyond) end
redis.call('HINCRBY', KEYS[1], 'calls.reserved', 0 - open.calls)
redis.call('HINCRBY', KEYS[1], 'calls.spent', open.calls)
redis.call('HSET', KEYS[2], ARGV[1] .. ':e', ARGV[3])
redis.call('XADD', KEYS[3], '*', 'fact', 'settle', 'agent', ARGV[6], 'account', ARGV[7], 'step', ARGV[1],
  'tokens', used, 'calls', open.calls, 'assumed', ARGV[5], 'overdraft', beyond, 'at', ARGV[8])
return {'settled'}
