-- include: _facts
-- include: _types
-- After each call: the result into the step journal, the reservation settled. Happens also when the agent was
-- fenced or moved meanwhile: what was paid is always in the account.
-- KEYS[1] ledger  KEYS[2] steps  KEYS[3] facts  KEYS[4] ledger of the lender, else KEYS[1] again  KEYS[5] calls for
-- which it reserves
-- ARGV[1] turn:step  ARGV[2] lease  ARGV[3] result (JSON)  ARGV[4] '1' where what was used is assumed
-- ARGV[5] agent id  ARGV[6] account id  ARGV[7] at  ARGV[8] percent of its own budget at which an account is warned of
-- ARGV[9] '1' where it went well, else '0'  ARGV[10] names of the files that it looked into or wrote, a JSON list, or
--   empty
-- ARGV[11] the rule by which the call was not made after all, so that its turn waits; empty where it was made
-- ARGV[12] tokens of the prompt that the provider read from its cache
-- ARGV[13…] what was used: kind, amount, … of the kinds that were reserved
-- Returns {'settled'} | {'again'} (ended before) | {'former'} (a successor or the reaper settled it).
local wrong = wrong_type(KEYS[3], 'stream')
if wrong then return wrong end
local before = redis.call('HMGET', KEYS[2], ARGV[1] .. ':b', ARGV[1] .. ':e')
if not before[1] then return {'former'} end
local open = cjson.decode(before[1])
if tostring(open.lease) ~= ARGV[2] then return {'former'} end
if before[2] then return {'again'} end

-- Of what was used beyond the account's own reserve the lender pays what it reserved; the rest is an overdraft.
local kinds, used, over, told, of_lender = {}, {}, {}, {}, {}
for i = 13, #ARGV, 2 do
  local kind, amount = ARGV[i], tonumber(ARGV[i + 1])
  local reserve = open.amounts[kind] or 0
  local paid = math.min(open.lent and open.lent[kind] or 0, math.max(0, amount - reserve))
  of_lender[kind], amount = paid, amount - paid
  local beyond = math.max(0, amount - reserve)
  kinds[#kinds + 1], used[kind], over[kind] = kind, amount, beyond
  if reserve > 0 then add(KEYS[1], kind .. '.reserved', 0 - reserve) end
  if amount > 0 then add(KEYS[1], kind .. '.spent', amount) end
  if reserve > amount then add(KEYS[1], kind .. '.free', reserve - amount) end
  if ARGV[4] == '1' and amount > 0 then add(KEYS[1], kind .. '.assumed', amount) end
  if beyond > 0 then
    add(KEYS[1], kind .. '.overdraft', beyond)
    told[#told + 1] = kind .. ': ' .. string.format('%.0f', beyond) .. ' beyond the reserve'
  end
end
local unpriced = count_unpriced(KEYS[1], open.amounts, (used.tokens or 0) - (open.amounts.tokens or 0))
local cached = tonumber(ARGV[12])
if cached > 0 then add(KEYS[1], 'tokens.cached', cached) end
redis.call('HSET', KEYS[2], ARGV[1] .. ':e', ARGV[3])
tell_settled(KEYS[3], ARGV[5], ARGV[6], ARGV[1], ARGV[7], kinds, used, open.amounts, over, ARGV[4] == '1',
  unpriced, open, ARGV[9] == '1', ARGV[10], cached)
settle_lent(KEYS[4], KEYS[5], KEYS[3], ARGV[5], ARGV[1], ARGV[7], open, of_lender, ARGV[4] == '1', ARGV[9] == '1')
-- What a begin that came later would have been told (begin.lua): people see for what the turn waits, and the rule.
if ARGV[11] ~= '' then
  redis.call('HSET', KEYS[2], string.match(ARGV[1], '^%d+') .. ':waits', ARGV[11])
  redis.call('XADD', KEYS[3], '*', 'fact', 'refuse', 'agent', ARGV[5], 'account', ARGV[6], 'call', ARGV[1],
    'what', open.kind or '', 'input', open.input or '', 'rule', ARGV[11], 'detail', 'begun, and not sent in time',
    'of', 'turn', 'at', ARGV[7])
end
-- Nothing more begins on the account until its superior, or an operator, has taken note of it.
if #told > 0 then redis.pcall('HSET', KEYS[1], 'overdrawn', table.concat(told, ', ')) end

-- Warned of once: what the account may spend itself (its cap but what it handed on) is used up to so many percent.
local fields = {'warned'}
for i = 1, #kinds do
  fields[#fields + 1] = kinds[i] .. '.cap'
  fields[#fields + 1] = kinds[i] .. '.granted'
  fields[#fields + 1] = kinds[i] .. '.free'
end
local now = redis.pcall('HMGET', KEYS[1], unpack(fields))
local function amount_of(i) return tonumber(now[i] or 0) or 0 end
if not now.err and not now[1] then
  for i = 1, #kinds do
    local own = amount_of(3 * i - 1) - amount_of(3 * i)
    local left = amount_of(3 * i + 1)
    if own > 0 and (own - left) * 100 >= own * tonumber(ARGV[8]) then
      redis.call('HSET', KEYS[1], 'warned', kinds[i])
      redis.call('XADD', KEYS[3], '*', 'fact', 'warn', 'agent', ARGV[5], 'account', ARGV[6], 'call', ARGV[1], 'kind',
        kinds[i], 'own', string.format('%.0f', own), 'left', string.format('%.0f', left), 'at', ARGV[7])
      break
    end
  end
end
return {'settled'}
