-- include: _post
-- include: _facts
-- The supervisor's commit: lineage, journal, answers and its own positions, whole or not at all.
-- KEYS[1] leader  KEYS[2] positions  KEYS[3] heads  KEYS[4] posts  KEYS[5] facts  KEYS[6…] as the steps name them by number
-- ARGV[1] the leader's token `NUMBER:HOST`  ARGV[2] number of this commit
-- ARGV[3] JSON {positions: {input: id}, needs: [[key, field, amount]], steps: [[verb, …]]}
-- Returns 'done' | 'again' (this commit was made before) | 'not leading' | 'behind' | 'short' (an account has less
-- free than was decided on). Costs what its steps cost; the caller bounds them.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'not leading' end
local seq = tonumber(redis.call('HGET', KEYS[2], 'seq') or '0')
if seq == tonumber(ARGV[2]) then return 'again' end
if seq ~= tonumber(ARGV[2]) - 1 then return 'behind' end

local plan = cjson.decode(ARGV[3])
for _, need in ipairs(plan.needs) do
  if tonumber(redis.call('HGET', KEYS[need[1]], need[2]) or '0') < need[3] then return 'short' end
end

local function number(key, field) return tonumber(redis.call('HGET', key, field) or '0') end

local SPENT_KINDS = {'tokens', 'cost', 'calls', 'tools'}
local ALL_KINDS = {'tokens', 'cost', 'calls', 'tools', 'agents'}
-- Made once: a step over a hundred accounts names each of these a hundred times.
local FIELDS = {}
for i, kind in ipairs(ALL_KINDS) do
  FIELDS[i] = {}
  for k, amount in ipairs({'cap', 'free', 'reserved', 'granted', 'spent', 'overdraft', 'assumed'}) do
    FIELDS[i][k] = kind .. '.' .. amount
  end
end

local function settle_open(journal, agent, account, id)
  local flat, steps = redis.call('HGETALL', journal), {}
  for i = 1, #flat, 2 do steps[flat[i]] = flat[i + 1] end
  for field, value in pairs(steps) do
    local step = string.match(field, '^(.*):b$')
    local open = step and not steps[step .. ':e'] and cjson.decode(value)
    if open and open.account == id then
      for kind, amount in pairs(open.amounts) do
        redis.call('HINCRBY', account, kind .. '.reserved', 0 - amount)
        redis.call('HINCRBY', account, kind .. '.spent', amount)
        redis.call('HINCRBY', account, kind .. '.assumed', amount)
      end
      redis.call('HDEL', journal, field)
      tell_settled(KEYS[5], agent, id, step, '', SPENT_KINDS, open.amounts, open.amounts, {}, true)
    end
  end
end

local verbs = {
  hset = function(s) redis.call('HSET', KEYS[s[2]], unpack(s[3])) end,
  sadd = function(s) redis.call('SADD', KEYS[s[2]], unpack(s[3])) end,
  srem = function(s) redis.call('SREM', KEYS[s[2]], unpack(s[3])) end,
  zadd = function(s) redis.call('ZADD', KEYS[s[2]], s[3], s[4]) end,
  zrem = function(s) redis.call('ZREM', KEYS[s[2]], unpack(s[3])) end,
  hdel = function(s) redis.call('HDEL', KEYS[s[2]], unpack(s[3])) end,
  set = function(s) redis.call('SET', KEYS[s[2]], s[3]) end,
  del = function(s) redis.call('UNLINK', KEYS[s[2]]) end,
  xdel = function(s) redis.call('XDEL', KEYS[s[2]], s[3]) end,
  trim = function(s) redis.call('XTRIM', KEYS[s[2]], 'MINID', s[3]) end,
  post = function(s) post(KEYS[s[2]], KEYS[3], KEYS[4], s[3], s[4], s[5]) end,
  -- All fields of a hash but those that begin so: {'clear', key, prefix}.
  clear = function(s)
    for _, field in ipairs(redis.call('HKEYS', KEYS[s[2]])) do
      if string.sub(field, 1, #s[3]) ~= s[3] then redis.call('HDEL', KEYS[s[2]], field) end
    end
  end,
  -- First positions: the beginning where told so, else the stream's last id at this instant. What is followed from
  -- now on has a past, and gets a mark: {'follow', state, field, stream, 'first' or 'now', mark's field, mark}.
  follow = function(s)
    local id = '0-0'
    if s[5] ~= 'first' then
      local last = redis.call('XREVRANGE', KEYS[s[4]], '+', '-', 'COUNT', 1)
      id = last[1] and last[1][1] or '0-0'
    end
    if redis.call('HSETNX', KEYS[s[2]], s[3], id) == 1 and s[5] ~= 'first' then
      redis.call('HSET', KEYS[s[2]], s[6], s[7])
    end
  end,
  -- Opens an account, carved from its parent's free: {'open', account, parent or false, id, parent's id, caps,
  -- own slot}. Caps are [[kind, amount], …]; `needs` saw to it that the parent has them.
  open = function(s)
    local account, parent, kinds, caps = KEYS[s[2]], s[3] and KEYS[s[3]], {}, {}
    for _, pair in ipairs(s[6]) do
      local kind, cap = pair[1], pair[2]
      local own = s[7] and kind == 'agents' and 1 or 0
      kinds[#kinds + 1], caps[kind] = kind, cap
      redis.call('HSET', account, kind .. '.cap', cap, kind .. '.free', cap - own, kind .. '.reserved', own,
        kind .. '.granted', 0, kind .. '.spent', 0, kind .. '.overdraft', 0)
      if parent and cap ~= 0 then
        redis.call('HINCRBY', parent, kind .. '.free', 0 - cap)
        redis.call('HINCRBY', parent, kind .. '.granted', cap)
      end
    end
    tell(KEYS[5], 'open', '', s[4], '', '', '{"parent":' .. cjson.encode(s[5]) .. ',"caps":'
      .. amounts_of(kinds, caps) .. ',"own_slot":' .. (s[7] and 'true' or 'false') .. '}')
  end,
  -- More for an open account: {'fund', account, parent or false, id, parent's id, caps}. `needs` saw to it that the parent
  -- has it; the root's is nobody's. What was spent beyond a reserve is taken note of thereby.
  fund = function(s)
    local account, parent, kinds, caps = KEYS[s[2]], s[3] and KEYS[s[3]], {}, {}
    for _, pair in ipairs(s[6]) do
      local kind, amount = pair[1], pair[2]
      kinds[#kinds + 1], caps[kind] = kind, amount
      redis.call('HINCRBY', account, kind .. '.cap', amount)
      redis.call('HINCRBY', account, kind .. '.free', amount)
      if parent then
        redis.call('HINCRBY', parent, kind .. '.free', 0 - amount)
        redis.call('HINCRBY', parent, kind .. '.granted', amount)
      end
    end
    redis.call('HDEL', account, 'overdrawn', 'warned')
    tell(KEYS[5], 'fund', '', s[4], '', '', '{"parent":' .. cjson.encode(s[5]) .. ',"caps":' .. amounts_of(kinds, caps)
      .. '}')
  end,
  -- An account goes to its creator's creator: {'adopt', account, former, id, former's id, new parent's id}. The one that it
  -- was carved from has so much less, and the one above has as much granted as before, to two instead of one.
  adopt = function(s)
    local account, former = KEYS[s[2]], KEYS[s[3]]
    for _, kind in ipairs(ALL_KINDS) do
      local cap = number(account, kind .. '.cap')
      if cap ~= 0 then
        redis.call('HINCRBY', former, kind .. '.cap', 0 - cap)
        redis.call('HINCRBY', former, kind .. '.granted', 0 - cap)
      end
    end
    tell(KEYS[5], 'adopt', '', s[4], '', '', '{"former":' .. cjson.encode(s[5]) .. ',"parent":' .. cjson.encode(s[6])
      .. '}')
  end,
  -- A new period of an account: {'period', account, id, period}. What was spent is forgotten; what open accounts and
  -- calls hold of it stays theirs.
  period = function(s)
    local account, spent, over = KEYS[s[2]], {}, {}
    for _, kind in ipairs(SPENT_KINDS) do
      spent[kind], over[kind] = number(account, kind .. '.spent'), number(account, kind .. '.overdraft')
      redis.call('HINCRBY', account, kind .. '.free', spent[kind] - over[kind])
      redis.call('HSET', account, kind .. '.spent', 0, kind .. '.overdraft', 0, kind .. '.assumed', 0)
    end
    redis.call('HSET', account, 'tokens.unpriced', 0, 'period', s[4])
    redis.call('HDEL', account, 'warned')
    tell(KEYS[5], 'period', '', s[3], '', '', '{"spent":' .. amounts_of(SPENT_KINDS, spent) .. ',"overdraft":'
      .. amounts_of(SPENT_KINDS, over) .. '}')
  end,
  -- Settles what calls left open in a step journal: {'settle', account, id, journal, agent}.
  settle = function(s) settle_open(KEYS[s[4]], s[5], KEYS[s[2]], s[3]) end,
  -- Closes an account into its parent's: {'close', account, parent, id, parent's id, [[journal, agent], …]}. What
  -- open calls in the step journals reserved of it is settled at the full reserve first (their late `end` then finds
  -- nothing to settle). Nothing is granted of it any more: its children ended before it, or were adopted.
  close = function(s)
    local account, parent = KEYS[s[2]], KEYS[s[3]]
    for _, journal in ipairs(s[6]) do settle_open(KEYS[journal[1]], journal[2], account, s[4]) end
    local moved = {cap = {}, free = {}, granted = {}, spent = {}, overdraft = {}}
    for _, kind in ipairs(ALL_KINDS) do
      local cap, spent = number(account, kind .. '.cap'), number(account, kind .. '.spent')
      local free, over = number(account, kind .. '.free'), number(account, kind .. '.overdraft')
      -- An agent's own slot is given back when it ends.
      if kind == 'agents' then free = free + number(account, 'agents.reserved') end
      redis.call('HINCRBY', parent, kind .. '.free', free)
      redis.call('HINCRBY', parent, kind .. '.spent', spent)
      redis.call('HINCRBY', parent, kind .. '.overdraft', over)
      local granted, assumed = number(account, kind .. '.granted'), number(account, kind .. '.assumed')
      redis.call('HINCRBY', parent, kind .. '.granted', granted - cap)
      if assumed > 0 then redis.call('HINCRBY', parent, kind .. '.assumed', assumed) end
      redis.call('HSET', account, kind .. '.cap', spent - over, kind .. '.free', 0, kind .. '.reserved', 0,
        kind .. '.granted', 0)
      moved.cap[kind], moved.free[kind], moved.granted[kind] = cap, free, granted
      moved.spent[kind], moved.overdraft[kind] = spent, over
    end
    local unpriced = number(account, 'tokens.unpriced')
    if unpriced > 0 then redis.call('HINCRBY', parent, 'tokens.unpriced', unpriced) end
    local parts = {'{"parent":' .. cjson.encode(s[5])}
    for _, amount in ipairs({'cap', 'free', 'granted', 'spent', 'overdraft'}) do
      parts[#parts + 1] = '"' .. amount .. '":' .. amounts_of(ALL_KINDS, moved[amount])
    end
    tell(KEYS[5], 'close', '', s[4], '', '', table.concat(parts, ',') .. '}')
  end,
  -- Repairs. {'mend', account, [[field, by how much it is off], …]}: what is no number counts as nothing.
  mend = function(s)
    local account = KEYS[s[2]]
    for _, one in ipairs(s[3]) do
      if tonumber(redis.call('HGET', account, one[1]) or '0') then redis.call('HINCRBY', account, one[1], one[2])
      else redis.call('HSET', account, one[1], one[2]) end
    end
  end,
  -- What is reserved for no open call is settled in full: {'assume', account, id, [[journal, agent], …]}.
  assume = function(s)
    local account, open, kinds, excess = KEYS[s[2]], {}, {}, {}
    for _, journal in ipairs(s[4]) do
      local flat, steps = redis.call('HGETALL', KEYS[journal[1]]), {}
      for i = 1, #flat, 2 do steps[flat[i]] = flat[i + 1] end
      for field, value in pairs(steps) do
        local step = string.match(field, '^(.*):b$')
        local begun = step and not steps[step .. ':e'] and cjson.decode(value)
        if begun and begun.account == s[3] then
          for kind, amount in pairs(begun.amounts) do open[kind] = (open[kind] or 0) + amount end
        end
      end
    end
    for _, kind in ipairs(SPENT_KINDS) do
      local beyond = number(account, kind .. '.reserved') - (open[kind] or 0)
      if beyond > 0 then
        kinds[#kinds + 1], excess[kind] = kind, beyond
        redis.call('HINCRBY', account, kind .. '.reserved', 0 - beyond)
        redis.call('HINCRBY', account, kind .. '.spent', beyond)
        redis.call('HINCRBY', account, kind .. '.assumed', beyond)
      end
    end
    if #kinds > 0 then tell_settled(KEYS[5], '', s[3], '', '', kinds, excess, excess, {}, true) end
  end,
  -- {'unhead', heads, stream, channel}
  unhead = function(s)
    if redis.call('EXISTS', KEYS[s[3]]) == 0 then redis.call('ZREM', KEYS[s[2]], s[4]) end
  end,
  -- Agents reaped and their accounts closed, the deepest first: {'reap', agents, ended, heads, prefix, at, forget at,
  -- [[id, account above, reason], …]}. One verb for all that a record's end is, and each account is read and written
  -- once for all that closes into it: a step of a hundred stays under a few milliseconds. The names of an agent's own
  -- keys are made here, as keys.py makes them: declared one by one they would be most of what is sent.
  reap = function(s)
    local prefix, at, forget_at, reaped = s[5], s[6], s[7], s[8]
    -- Read whole, which is one pass over a small hash, and written back as far as it has changed.
    local accounts, before = {}, {}
    local function account(id)
      if not accounts[id] then
        local flat, now, was = redis.call('HGETALL', prefix .. 'ledger:' .. id), {}, {}
        for i = 1, #flat, 2 do
          local amount = tonumber(flat[i + 1])
          if amount then now[flat[i]], was[flat[i]] = amount, amount end
        end
        accounts[id], before[id] = now, was
      end
      return accounts[id]
    end
    local function write(id)
      local flat, was = {}, before[id]
      for field, amount in pairs(accounts[id]) do
        if was[field] ~= amount then flat[#flat + 1], flat[#flat + 2] = field, amount end
      end
      if #flat > 0 then redis.call('HSET', prefix .. 'ledger:' .. id, unpack(flat)) end
      accounts[id] = nil
    end
    local function add(to, field, amount)
      if amount and amount ~= 0 then to[field] = (to[field] or 0) + amount end
    end
    local gone, due, channels, names = {}, {}, {}, {}
    for _, one in ipairs(reaped) do
      local id, above = one[1], one[2]
      local journal = prefix .. '_steps:' .. id
      if redis.call('EXISTS', journal) == 1 then
        -- Settled on the server itself: what was counted here of the account so far goes there first.
        if accounts[id] then write(id) end
        settle_open(journal, id, prefix .. 'ledger:' .. id, id)
      end
      local own, parent = account(id), account(above)
      for i = 1, #FIELDS do
        local cap, free, reserved, granted, spent, over, assumed = unpack(FIELDS[i])
        add(parent, free, own[free])
        -- An agent's own slot is given back when it ends.
        if ALL_KINDS[i] == 'agents' then add(parent, free, own[reserved]) end
        add(parent, granted, (own[granted] or 0) - (own[cap] or 0))
        add(parent, spent, own[spent])
        add(parent, over, own[over])
        add(parent, assumed, own[assumed])
        own[cap], own[free], own[reserved], own[granted] = (own[spent] or 0) - (own[over] or 0), 0, 0, 0
      end
      add(parent, 'tokens.unpriced', own['tokens.unpriced'])
      redis.call('HSET', prefix .. 'agent:' .. id, 'state', 'terminated', 'reason', one[3], 'host', '', 'ended', at)
      gone[#gone + 1] = id
      due[#due + 1], due[#due + 2] = forget_at, 'agent:' .. id
      for _, channel in ipairs({'inbox:', 'down:', 'up:'}) do
        channels[#channels + 1] = channel .. id
        names[#names + 1] = prefix .. channel .. id
      end
      for _, key in ipairs({'_state:', '_steps:', '_use:'}) do names[#names + 1] = prefix .. key .. id end
    end
    local open = {}
    for id in pairs(accounts) do open[#open + 1] = id end
    table.sort(open)
    for _, id in ipairs(open) do write(id) end
    redis.call('SREM', KEYS[s[2]], unpack(gone))
    redis.call('ZADD', KEYS[s[3]], unpack(due))
    redis.call('ZREM', KEYS[s[4]], unpack(channels))
    redis.call('UNLINK', unpack(names))
    local told = {}
    for i, one in ipairs(reaped) do told[i] = {one[1], one[2]} end
    tell(KEYS[5], 'reap', '', '', '', at, cjson.encode(told))
  end,
}
for _, s in ipairs(plan.steps) do verbs[s[1]](s) end
local positions = {'seq', ARGV[2]}
for input, id in pairs(plan.positions) do positions[#positions + 1] = input; positions[#positions + 1] = id end
redis.call('HSET', KEYS[2], unpack(positions))
return 'done'
