-- include: _hold
-- include: _may
-- include: _facts
-- Before each call of a model or a tool: fence, stop, incarnation, lease, privilege, reservation, step journal.
-- KEYS[1] agent  KEYS[2] fences  KEYS[3] stops  KEYS[4] revocations  KEYS[5] host  KEYS[6] use  KEYS[7] ledger
-- KEYS[8] steps  KEYS[9] facts
-- ARGV[1] incarnation  ARGV[2] lease  ARGV[3] host  ARGV[4] turn:step  ARGV[5] begin record (JSON)
-- ARGV[6] the turn's batch (JSON, kept from the first step on)  ARGV[7] agent id  ARGV[8] account id  ARGV[9] at
-- then four lists, each with its length before it: the segments; further targets of stops; the amounts to reserve as
-- kind, amount, …; the privileges, as for each its length and the paths any one of which suffices.
-- Returns {'begun'} | {'ended', result} | {'refused', rule, detail}. Idempotent for one lease.
local at = 10
local function list()
  local found, n = {}, tonumber(ARGV[at])
  for i = 1, n do found[i] = ARGV[at + i] end
  at = at + n + 1
  return found
end
local segments, targets, pairs_ = list(), list(), list()
local privileges, n = {}, tonumber(ARGV[at])
at = at + 1
for i = 1, n do privileges[i] = list() end
local kinds, asked = {}, {}
for i = 1, #pairs_, 2 do
  kinds[#kinds + 1] = pairs_[i]
  asked[pairs_[i]] = tonumber(pairs_[i + 1])
end

local function refuse(rule, detail)
  redis.call('XADD', KEYS[9], '*', 'fact', 'refuse', 'agent', ARGV[7], 'account', ARGV[8], 'step', ARGV[4],
    'rule', rule, 'detail', detail, 'at', ARGV[9])
  return {'refused', rule, detail}
end

local turn = string.match(ARGV[4], '^%d+')
local rule, detail, stop = refusal(KEYS[1], KEYS[5], KEYS[2], KEYS[3], segments, targets, ARGV[1], ARGV[2], ARGV[3])
-- A drain lets a turn that has begun come to its end.
if stop == 'drain' and redis.call('HEXISTS', KEYS[8], turn .. ':batch') == 1 then rule = nil end
if rule then return refuse(rule, detail) end
-- What ended is answered as it was: a successor resumes without paying again.
local before = redis.call('HMGET', KEYS[8], ARGV[4] .. ':b', ARGV[4] .. ':e')
if before[2] then return {'ended', before[2]} end

local open = before[1] and cjson.decode(before[1])
if open and tostring(open.lease) == ARGV[2] then return {'begun'} end

for i = 1, #privileges do
  local no = not_held(KEYS[6], KEYS[4], segments, privileges[i])
  if no then return refuse(no, privileges[i][1]) end
  local uses = {}
  for k = 1, #privileges[i] do uses[k] = 'use:' .. privileges[i][k] end
  local kind, target = stop_of(KEYS[3], uses)
  if kind then return refuse(STOP_RULES[kind], target) end
end

-- A former holder began this step and never ended it: settled at its full reserve.
if open then
  local former = {}
  for kind, amount in pairs(open.amounts) do
    former[#former + 1] = kind
    redis.call('HINCRBY', KEYS[7], kind .. '.reserved', 0 - amount)
    redis.call('HINCRBY', KEYS[7], kind .. '.spent', amount)
    redis.call('HINCRBY', KEYS[7], kind .. '.assumed', amount)
  end
  tell_settled(KEYS[9], ARGV[7], ARGV[8], ARGV[4], ARGV[9], former, open.amounts, open.amounts, {}, true)
  redis.call('HDEL', KEYS[8], ARGV[4] .. ':b')
end

if #kinds > 0 then
  local fields = {'overdrawn'}
  for i = 1, #kinds do fields[#fields + 1] = kinds[i] .. '.free' end
  local free = redis.call('HMGET', KEYS[7], unpack(fields))
  if free[1] then return refuse('budget.overdraft', free[1]) end
  for i = 1, #kinds do
    if tonumber(free[i + 1] or 0) < asked[kinds[i]] then
      return refuse('budget.exhausted',
        kinds[i] .. ': ' .. string.format('%.0f', asked[kinds[i]]) .. ' needed, ' .. (free[i + 1] or '0') .. ' free')
    end
  end
  -- `0 - x`, never `-x`: a negated zero reaches Redis 7.0 as `-0`, which is no integer to it.
  for i = 1, #kinds do
    redis.call('HINCRBY', KEYS[7], kinds[i] .. '.free', 0 - asked[kinds[i]])
    redis.call('HINCRBY', KEYS[7], kinds[i] .. '.reserved', asked[kinds[i]])
  end
end
kinds[#kinds + 1], asked.unpriced = 'unpriced', count_unpriced(KEYS[7], asked, asked.tokens or 0)
redis.call('HSETNX', KEYS[8], turn .. ':batch', ARGV[6])
redis.call('HSET', KEYS[8], ARGV[4] .. ':b', ARGV[5])
tell(KEYS[9], 'reserve', ARGV[7], ARGV[8], ARGV[4], ARGV[9], amounts_of(kinds, asked))
return {'begun'}
