-- Included by the scripts that move amounts: what they did, told in the same step to the stream of facts, which the
-- supervisor folds into the journal. Folded in the stream's order, facts give every account exactly
-- (core/journal/replay.py).
--   facts    the stream       fact  reserve | settle | refuse | warn | open | adopt | close | reap | fund | period
--   agent    who, or ''       account, call, at  may be '' (the stream's id has the time); a call is TURN:STEP of its
--            agent
--   more     of reserve and settle: `what` is called (the function's name) and `input`, the digest of its arguments; of
--            settle
--            `ok`, '1' or '0' (whether it went well: what nobody saw the end of did not), and where a function looked
--            into files or wrote one, `files`, a JSON list of their names
--   amounts  JSON: reserve {KIND: n, unpriced: n} | settle {used, reserved, overdraft: {KIND: n}, assumed, unpriced: n,
--            cached: n}
--            | open {parent, caps: {KIND: n}, own_slot} | fund {parent, caps: {KIND: n}} |
--            adopt {former, parent} | reap [[account, parent], …], each closed in this order |
--            close {parent, cap, free, granted, spent, overdraft: {KIND: n}} | period {spent, overdraft: {KIND: n}},
--            each with unreadable: true where a field of the account was no number: what it had the earlier facts alone
--            know
-- Kinds of which nothing moved are left out. `amounts_of` is exact up to 2^53, where cjson would round at 10^14.
local function amounts_of(kinds, of)
  local parts = {}
  for _, kind in ipairs(kinds) do
    local n = tonumber(of[kind] or 0)
    if n ~= 0 then parts[#parts + 1] = '"' .. kind .. '":' .. string.format('%.0f', n) end
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

-- An amount of an account. A field that somebody made no number is left as it is: the fact is told all the same, and
-- from the facts `fsck --repair` makes the account what it should be. Raised here, the error would leave half a step
-- behind.
local function add(ledger, field, n) redis.pcall('HINCRBY', ledger, field, n) end

-- Tokens for which no cost is reserved are used at a price that nobody knows: counted, for a sum of money that leaves
-- them out has to say so. From the reserve on, so that a call that never ends needs no other step. Returns the count.
local function count_unpriced(ledger, reserved, tokens)
  if tokens == 0 or reserved.cost then return 0 end
  add(ledger, 'tokens.unpriced', tokens)
  return tokens
end

local function tell(facts, fact, agent, account, call, at, amounts, ...)
  redis.call('XADD', facts, '*', 'fact', fact, 'agent', agent, 'account', account, 'call', call, 'at', at,
    'amounts', amounts, ...)
end

-- `open` is the call's begin record, or empty where what is settled is no call's.
local function tell_settled(facts, agent, account, call, at, kinds, used, reserved, overdraft, assumed, unpriced, open,
  ok, files, cached)
  local more = {'what', open.kind or '', 'input', open.input or '', 'ok', ok and '1' or '0'}
  if files and files ~= '' then more[7], more[8] = 'files', files end
  tell(facts, 'settle', agent, account, call, at, '{"used":' .. amounts_of(kinds, used) .. ',"reserved":'
    .. amounts_of(kinds, reserved) .. ',"overdraft":' .. amounts_of(kinds, overdraft) .. ',"assumed":'
    .. (assumed and 'true' or 'false') .. ',"unpriced":' .. string.format('%.0f', unpriced or 0)
    .. ((cached or 0) > 0 and ',"cached":' .. string.format('%.0f', cached) or '') .. '}', unpack(more))
end

-- What a lender reserved of a call (`open.lent`, by kind) is settled: `used` of it is spent there, the rest goes back.
--   ledger, lent   the lender's account, and the hash of the calls for which it reserves
local function settle_lent(ledger, lent, facts, agent, call, at, open, used, assumed, ok)
  if not open.lender then return end
  local kinds, spent = {}, {}
  for kind, amount in pairs(open.lent) do
    local n = math.min(amount, used[kind] or 0)
    kinds[#kinds + 1], spent[kind] = kind, n
    add(ledger, kind .. '.reserved', 0 - amount)
    if n > 0 then add(ledger, kind .. '.spent', n) end
    if amount > n then add(ledger, kind .. '.free', amount - n) end
    if assumed and n > 0 then add(ledger, kind .. '.assumed', n) end
  end
  local unpriced = count_unpriced(ledger, open.amounts, spent.tokens or 0)
  redis.pcall('HDEL', lent, agent .. ' ' .. call .. ':b')
  tell_settled(facts, agent, open.lender, call, at, kinds, spent, open.lent, {}, assumed, unpriced, open, ok)
end
