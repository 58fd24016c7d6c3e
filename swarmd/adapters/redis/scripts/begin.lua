-- include: _hold
-- include: _may
-- include: _facts
-- include: _types
-- Before each call of a model or a tool: fence, stop, incarnation, lease, privilege, reservation, step journal.
-- KEYS[1] holds  KEYS[2] fences  KEYS[3] stops  KEYS[4] revocations  KEYS[5] host  KEYS[6] use  KEYS[7] ledger
-- KEYS[8] steps  KEYS[9] facts  KEYS[10] state  KEYS[11] leader  KEYS[12] ledger of the lender, else KEYS[7] again
-- KEYS[13] calls for which the lender reserves
-- ARGV[1] incarnation  ARGV[2] lease  ARGV[3] host  ARGV[4] turn:step  ARGV[5] begin record (JSON; `once`: see below)
-- ARGV[6] the turn's batch (JSON, kept from the first step on)  ARGV[7] agent id  ARGV[8] account id  ARGV[9] at
-- ARGV[10] '1' where the caller can ask for less: it is answered `short`, and no refusal is told  ARGV[11] lender's id
-- then six lists, each with its length before it: the segments; further targets of stops; the amounts to reserve as
-- kind, amount, …; what must stay free beside them; what the lender reserves of the same call; the privileges, as for
-- each its length and the paths any one of which suffices.
-- Returns {'begun'} | {'ended', result} | {'refused', rule, detail} | {'short', kind, free, free of the lender,
-- reserved of it (without one, of the account), …}.
-- Idempotent for one lease, with `once` for one attempt.
local at = 12
local function list()
  local found, n = {}, tonumber(ARGV[at])
  for i = 1, n do found[i] = ARGV[at + i] end
  at = at + n + 1
  return found
end
local segments, targets, pairs_, kept_pairs, lent_pairs = list(), list(), list(), list(), list()
local privileges, n = {}, tonumber(ARGV[at])
at = at + 1
for i = 1, n do privileges[i] = list() end
local kinds, asked = {}, {}
for i = 1, #pairs_, 2 do
  kinds[#kinds + 1] = pairs_[i]
  asked[pairs_[i]] = tonumber(pairs_[i + 1])
end
local kept = {}
for i = 1, #kept_pairs, 2 do kept[kept_pairs[i]] = tonumber(kept_pairs[i + 1]) end
local lent_kinds, lent = {}, {}
for i = 1, #lent_pairs, 2 do
  lent_kinds[#lent_kinds + 1], lent[lent_pairs[i]] = lent_pairs[i], tonumber(lent_pairs[i + 1])
end

-- `of` is `turn` where the whole turn may not go on, `action` where the agent is told and goes on: its commit then
-- tells how often that was in the turn.
local record = cjson.decode(ARGV[5])
local function refuse(rule, detail, of)
  redis.call('XADD', KEYS[9], '*', 'fact', 'refuse', 'agent', ARGV[7], 'account', ARGV[8], 'call', ARGV[4],
    'what', record.kind, 'input', record.input, 'rule', rule, 'detail', detail, 'of', of or 'turn', 'at', ARGV[9])
  return {'refused', rule, detail}
end

local wrong = wrong_type(KEYS[9], 'stream')
if wrong then return wrong end
local turn = string.match(ARGV[4], '^%d+')
local rule, detail, stop = refusal(KEYS[1], ARGV[7], KEYS[5], KEYS[2], KEYS[3], segments, targets, ARGV[1], ARGV[2],
  ARGV[3])
-- A drain lets a turn that has begun come to its end.
if stop == 'drain' and redis.call('HEXISTS', KEYS[8], turn .. ':batch') == 1 then rule = nil end
-- The next turn alone may call. What an old connection still carried may arrive when its turn is over: nobody would
-- ever end such a call. And a server that lost its last second may be behind what its worker remembers: the turn could
-- not be committed, and its calls would be made and paid a second time. The worker reads the agent's state again.
local state = tonumber(redis.call('HGET', KEYS[10], 'turn') or '0')
if not rule and tonumber(turn) ~= state + 1 then rule, detail = 'lease.lost', 'turn ' .. turn .. ' after ' .. state end
if rule then return refuse(rule, detail) end
-- What ended is answered as it was: a successor resumes without paying again.
local before = redis.call('HMGET', KEYS[8], ARGV[4] .. ':b', ARGV[4] .. ':e', turn .. ':batch')
if before[2] then return {'ended', before[2]} end

local open = before[1] and cjson.decode(before[1])
-- What may not be repeated is begun again by the same attempt alone, whose reply was lost.
local is_same = open and (before[1] == ARGV[5] or (not open.once and tostring(open.lease) == ARGV[2]))
if is_same then return {'begun'} end

-- A leader's key lives for one lease after its last renewal, by this server's clock, also where the leader steps down
-- (lead.lua). Without the key nobody has led for longer than a lease: whoever could end, stop or warn of what begins
-- now is not there. What has begun ends, and a turn that needs no further call is committed.
if redis.call('EXISTS', KEYS[11]) == 0 then
  redis.call('HSET', KEYS[8], turn .. ':waits', 'lead.none')
  return refuse('lead.none', 'no supervisor has led for longer than its lease')
end

for i = 1, #privileges do
  local no = not_held(KEYS[6], KEYS[4], segments, privileges[i])
  if no then return refuse(no, privileges[i][1], 'action') end
  local uses = {}
  for k = 1, #privileges[i] do uses[k] = 'use:' .. privileges[i][k] end
  local kind, target = stop_of(KEYS[3], uses)
  if kind then return refuse(STOP_RULES[kind], target, 'action') end
end

-- A former attempt began this step and never ended it: settled at its full reserve. What may not be repeated has ended
-- thereby, with the result that its record names: nobody knows whether it was done.
if open then
  local former = {}
  for kind, amount in pairs(open.amounts) do
    former[#former + 1] = kind
    add(KEYS[7], kind .. '.reserved', 0 - amount)
    add(KEYS[7], kind .. '.spent', amount)
    add(KEYS[7], kind .. '.assumed', amount)
  end
  tell_settled(KEYS[9], ARGV[7], ARGV[8], ARGV[4], ARGV[9], former, open.amounts, open.amounts, {}, true, 0, open)
  settle_lent(KEYS[12], KEYS[13], KEYS[9], ARGV[7], ARGV[4], ARGV[9], open, open.lent or {}, true)
  if open.once then
    redis.call('HSET', KEYS[8], ARGV[4] .. ':e', open.once)
    return {'ended', open.once}
  end
  redis.call('HDEL', KEYS[8], ARGV[4] .. ':b')
end

if #kinds > 0 then
  local fields = {}
  for i = 1, #kinds do
    fields[2 * i - 1] = kinds[i] .. '.free'
    fields[2 * i] = kinds[i] .. '.reserved'
  end
  fields[#fields + 1] = 'overdrawn'
  local now = redis.pcall('HMGET', KEYS[7], unpack(fields))
  if now.err then return refuse('budget.unreadable', KEYS[7] .. ' is no account') end
  if now[#fields] then return refuse('budget.overdraft', now[#fields]) end
  -- Both accounts as they are, for a caller that can ask for less.
  local function short()
    local of_lender, told = redis.pcall('HMGET', KEYS[12], unpack(fields)), {'short'}
    if of_lender.err then of_lender = {} end
    for i = 1, #kinds do
      local n, lendable = #told, KEYS[12] ~= KEYS[7] and of_lender[2 * i - 1]
      told[n + 1], told[n + 2] = kinds[i], string.format('%.0f', tonumber(now[2 * i - 1] or 0) or 0)
      told[n + 3] = string.format('%.0f', tonumber(lendable or 0) or 0)
      told[n + 4] = string.format('%.0f', tonumber(of_lender[2 * i] or 0) or 0)
    end
    return told
  end
  if #lent_kinds > 0 then
    local wanted = {'overdrawn'}
    for i, kind in ipairs(lent_kinds) do wanted[i + 1] = kind .. '.free' end
    local has = redis.pcall('HMGET', KEYS[12], unpack(wanted))
    for i, kind in ipairs(lent_kinds) do
      local free = not has.err and not has[1] and tonumber(has[i + 1] or 0)
      if not free or free < lent[kind] then return short() end
    end
  end
  -- Read and written in one command each: by single steps the whole script takes a tenth longer.
  local set = {}
  for i = 1, #kinds do
    local amount, free = asked[kinds[i]], now[2 * i - 1]
    if not (tonumber(free or 0) and tonumber(now[2 * i] or 0)) then
      return refuse('budget.unreadable', kinds[i] .. ' of ' .. KEYS[7] .. ' is no number')
    end
    if ARGV[10] == '1' and tonumber(free or 0) < amount + (kept[kinds[i]] or 0) then return short() end
    if tonumber(free or 0) < amount then
      return refuse('budget.exhausted',
        kinds[i] .. ': ' .. string.format('%.0f', amount) .. ' needed, ' .. (free or '0') .. ' free')
    end
    if amount > 0 then
      set[#set + 1] = fields[2 * i - 1]
      set[#set + 1] = string.format('%.0f', tonumber(free) - amount)
      set[#set + 1] = fields[2 * i]
      set[#set + 1] = string.format('%.0f', tonumber(now[2 * i] or 0) + amount)
    end
  end
  if #set > 0 then redis.call('HSET', KEYS[7], unpack(set)) end
end
-- What the lender reserves is a reservation of its own, under the same call.
for _, kind in ipairs(lent_kinds) do
  add(KEYS[12], kind .. '.free', 0 - lent[kind])
  add(KEYS[12], kind .. '.reserved', lent[kind])
end
if #lent_kinds > 0 then
  local of_lender = cjson.encode({account = ARGV[11], kind = record.kind, at = ARGV[9], lease = record.lease,
    amounts = record.lent})
  redis.call('HSET', KEYS[13], ARGV[7] .. ' ' .. ARGV[4] .. ':b', of_lender)
end
kinds[#kinds + 1], asked.unpriced = 'unpriced', count_unpriced(KEYS[7], asked, asked.tokens or 0)
-- The batch is that of the turn's first step, whatever a successor would take.
if before[3] then redis.call('HSET', KEYS[8], ARGV[4] .. ':b', ARGV[5])
else redis.call('HSET', KEYS[8], turn .. ':batch', ARGV[6], ARGV[4] .. ':b', ARGV[5]) end
tell(KEYS[9], 'reserve', ARGV[7], ARGV[8], ARGV[4], ARGV[9], amounts_of(kinds, asked), 'what', record.kind,
  'input', record.input)
if #lent_kinds > 0 then
  tell(KEYS[9], 'reserve', ARGV[7], ARGV[11], ARGV[4], ARGV[9], amounts_of(lent_kinds, lent), 'what', record.kind,
    'input', record.input)
end
return {'begun'}
