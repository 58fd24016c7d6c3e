-- include: _types
-- include: _added
-- include: _post
-- include: _facts
-- The supervisor's commit: lineage, journal, answers and its own positions, whole or not at all.
-- KEYS[1] leader  KEYS[2] positions  KEYS[3] heads  KEYS[4] posts  KEYS[5] facts  KEYS[6] ends
-- KEYS[7…] as the steps name them by number
-- ARGV[1] the leader's token `NUMBER:HOST`  ARGV[2] number of this commit
-- ARGV[3] JSON {positions: {input: id}, needs: [[key, field, amount]], streams: [key, …], long: [[step, part, place or
--   0, ARGV's number]],
-- steps: [[verb, key, …]]}; `long` words go as arguments of their own; `streams`
-- are those that the whole swarm reads, without which nothing is committed
-- ARGV[4…] long texts, which the steps name by their places
-- Returns 'done' | 'damaged' (done, but for keys of another type than ours) | 'again' (this commit was made before) |
-- 'not leading' | 'behind' | 'short' (an account has less free than was decided on). Costs what its steps cost; the
-- caller bounds them.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'not leading' end
-- What is no number was written by somebody else, and is as good as gone.
local seq = tonumber(redis.call('HGET', KEYS[2], 'seq') or '0') or 0
if seq == tonumber(ARGV[2]) then return 'again' end
if seq ~= tonumber(ARGV[2]) - 1 then return 'behind' end

-- What is no number counts as nothing, and is remembered: `unreadable` tells the replay to trust the facts alone.
local unreadable = false
local function number(key, field)
  local text = redis.pcall('HGET', key, field)
  local n = type(text) ~= 'table' and tonumber(text or '0')
  if not n then unreadable = true end
  return n or 0
end
local function and_unreadable() return unreadable and ',"unreadable":true}' or '}' end

local plan = cjson.decode(ARGV[3])
local wrong = wrong_for_posting(KEYS[3], KEYS[4]) or wrong_type(KEYS[5], 'stream')
for _, key in ipairs(plan.streams) do wrong = wrong or wrong_type(KEYS[key], 'stream') end
if wrong then return wrong end
local posts_to, streams, is_named = {}, {}, {}
for _, s in ipairs(plan.steps) do
  if s[1] == 'post' and not is_named[s[3]] then
    is_named[s[3]] = true
    posts_to[#posts_to + 1], streams[#streams + 1] = s[3], KEYS[s[2]]
  end
end
local ends, wrong_ends = ends_of(KEYS[6], posts_to, streams)
if not ends then return wrong_ends end
for _, need in ipairs(plan.needs) do
  if number(KEYS[need[1]], need[2]) < need[3] then return 'short' end
end

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
        add(account, kind .. '.reserved', 0 - amount)
        add(account, kind .. '.spent', amount)
        add(account, kind .. '.assumed', amount)
      end
      redis.call('HDEL', journal, field)
      tell_settled(KEYS[5], agent, id, step, '', SPENT_KINDS, open.amounts, open.amounts, {}, true, 0, open)
      if open.lender then
        -- Both keys are made here, as keys.py makes them: who lends is known only now.
        local prefix = string.sub(account, 1, #account - #id - #'ledger:')
        settle_lent(prefix .. 'ledger:' .. open.lender, prefix .. '_lent:' .. open.lender, KEYS[5], agent, step, '',
          open, open.lent, true)
      end
    end
  end
end

-- What accounts that were opened take from the accounts above them: key -> kind -> amount. Written before anything
-- else looks at an account: of a hundred that one account is carved into it is read and written once.
local owed = {}
local function carve_owed()
  for key, owing in pairs(owed) do
    for kind, amount in pairs(owing) do
      add(KEYS[key], kind .. '.free', 0 - amount)
      add(KEYS[key], kind .. '.granted', amount)
    end
  end
  owed = {}
end
local NO_ACCOUNTS = {
  hset = true, sadd = true, srem = true, zadd = true, zrem = true, hdel = true, set = true, del = true, post = true,
  follow = true, open = true, drop = true, count = true, forget = true,
}

local MAILBOXES = {'inbox:', 'down:', 'up:'}
local OWN_KEYS = {'_state:', '_steps:', '_use:'}

local newest = {} -- of streams that are followed from now on: their last id
-- Channels that were posted to, in order; of each whether it still is one, for it may go later in the same commit.
local posted = {}
-- Channels that are channels no more: neither marks nor ends are kept of them.
local function forget_channels(channels)
  redis.call('ZREM', KEYS[3], unpack(channels))
  redis.pcall('HDEL', KEYS[6], unpack(channels))
  for _, channel in ipairs(channels) do
    if posted[channel] then posted[channel] = false end
    if ends[channel] then ends[channel] = {'0-0', 0} end
  end
end

local verbs = {
  hset = function(s) redis.call('HSET', KEYS[s[2]], unpack(s[3])) end,
  sadd = function(s) redis.call('SADD', KEYS[s[2]], unpack(s[3])) end,
  srem = function(s) redis.call('SREM', KEYS[s[2]], unpack(s[3])) end,
  zadd = function(s) redis.call('ZADD', KEYS[s[2]], s[3], s[4]) end,
  zrem = function(s) redis.call('ZREM', KEYS[s[2]], unpack(s[3])) end,
  -- {'drop', [stream, …], [channel, …]}: channels that nobody has any more, with their streams.
  drop = function(s)
    for _, stream in ipairs(s[2]) do redis.call('UNLINK', KEYS[stream]) end
    forget_channels(s[3])
  end,
  hdel = function(s) redis.call('HDEL', KEYS[s[2]], unpack(s[3])) end,
  set = function(s) redis.call('SET', KEYS[s[2]], s[3]) end,
  del = function(s) redis.call('UNLINK', KEYS[s[2]]) end,
  xdel = function(s) redis.call('XDEL', KEYS[s[2]], s[3]) end,
  trim = function(s) redis.call('XTRIM', KEYS[s[2]], 'MINID', s[3]) end,
  -- {'post', stream, channel, place of the line, place of what rings instead or false}. Marked when all is done, once a
  -- channel: many posts of a commit go to the journal.
  post = function(s)
    append(ends[s[3]], KEYS[s[2]], s[3], ARGV[s[4]], s[5] and ARGV[s[5]])
    if posted[s[3]] == nil then posted[#posted + 1] = s[3] end
    posted[s[3]] = true
    newest[s[2]] = nil
  end,
  -- All fields of a hash but those that begin so, each with two characters: {'clear', key, [prefix, …]}.
  clear = function(s)
    local stays = {}
    for _, prefix in ipairs(s[3]) do stays[prefix] = true end
    for _, field in ipairs(redis.call('HKEYS', KEYS[s[2]])) do
      if not stays[string.sub(field, 1, 2)] then redis.call('HDEL', KEYS[s[2]], field) end
    end
  end,
  -- First positions: each stream's last id at this instant. What is followed from now on has a past, and gets a mark:
  -- {'follow', state, whether it is new, [[field, stream, mark's field, mark], …]}. Many follow the same rooms: each is
  -- looked up once. What is followed already goes on from where it was.
  follow = function(s)
    local state, fields = KEYS[s[2]], {}
    for _, one in ipairs(s[4]) do
      local stream = one[2]
      if not newest[stream] then
        local last = redis.call('XREVRANGE', KEYS[stream], '+', '-', 'COUNT', 1)
        newest[stream] = last[1] and last[1][1] or '0-0'
      end
      if s[3] or redis.call('HEXISTS', state, one[1]) == 0 then
        local n = #fields
        fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = one[1], newest[stream], one[3], one[4]
      end
    end
    if #fields > 0 then redis.call('HSET', state, unpack(fields)) end
  end,
  -- A position is raised, never set back, and never made for one who has no state: {'lead', state, field, id}.
  lead = function(s)
    local at = redis.call('HGET', KEYS[s[2]], s[3])
    if at or redis.call('EXISTS', KEYS[s[2]]) == 1 then
      local ms, n = string.match(at or '0-0', '^(%d+)-(%d+)$')
      local to_ms, to_n = string.match(s[4], '^(%d+)-(%d+)$')
      ms, n, to_ms, to_n = tonumber(ms), tonumber(n), tonumber(to_ms), tonumber(to_n)
      if ms < to_ms or (ms == to_ms and n < to_n) then redis.call('HSET', KEYS[s[2]], s[3], s[4]) end
    end
  end,
  -- Opens an account, carved from its parent's free: {'open', account, parent or false, id, parent's id, caps,
  -- own slot}. Caps are [[kind, amount], …]; `needs` saw to it that the parent has them.
  open = function(s)
    local kinds, caps, fields = {}, {}, {}
    -- Whatever lay there, such as what an account of this name had left, is none of this one's.
    redis.call('UNLINK', KEYS[s[2]])
    local owing = s[3] and (owed[s[3]] or {})
    if s[3] then owed[s[3]] = owing end
    for _, pair in ipairs(s[6]) do
      local kind, cap = pair[1], pair[2]
      local own = s[7] and kind == 'agents' and 1 or 0
      local n = #fields
      kinds[#kinds + 1], caps[kind] = kind, cap
      fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = kind .. '.cap', cap, kind .. '.free', cap - own
      fields[n + 5], fields[n + 6], fields[n + 7], fields[n + 8] = kind .. '.reserved', own, kind .. '.granted', 0
      fields[n + 9], fields[n + 10], fields[n + 11], fields[n + 12] = kind .. '.spent', 0, kind .. '.overdraft', 0
      if owing and cap ~= 0 then owing[kind] = (owing[kind] or 0) + cap end
    end
    redis.call('HSET', KEYS[s[2]], unpack(fields))
    tell(KEYS[5], 'open', '', s[4], '', '', '{"parent":' .. cjson.encode(s[5]) .. ',"caps":'
      .. amounts_of(kinds, caps) .. ',"own_slot":' .. (s[7] and 'true' or 'false') .. '}')
  end,
  -- More for an open account: {'fund', account, parent or false, id, parent's id, caps}. `needs` saw to it that the
  -- parent has it; the root's is nobody's. What was spent beyond a reserve is taken note of thereby.
  fund = function(s)
    local account, parent, kinds, caps = KEYS[s[2]], s[3] and KEYS[s[3]], {}, {}
    for _, pair in ipairs(s[6]) do
      local kind, amount = pair[1], pair[2]
      kinds[#kinds + 1], caps[kind] = kind, amount
      add(account, kind .. '.cap', amount)
      add(account, kind .. '.free', amount)
      if parent then
        add(parent, kind .. '.free', 0 - amount)
        add(parent, kind .. '.granted', amount)
      end
    end
    redis.pcall('HDEL', account, 'overdrawn', 'warned')
    tell(KEYS[5], 'fund', '', s[4], '', '', '{"parent":' .. cjson.encode(s[5]) .. ',"caps":' .. amounts_of(kinds, caps)
      .. '}')
  end,
  -- An account goes to its creator's creator: {'adopt', account, former, id, former's id, new parent's id}. The one
  -- that it was carved from has so much less, and the one above has as much granted as before, to two instead of one.
  adopt = function(s)
    local account, former = KEYS[s[2]], KEYS[s[3]]
    for _, kind in ipairs(ALL_KINDS) do
      local cap = number(account, kind .. '.cap')
      if cap ~= 0 then
        add(former, kind .. '.cap', 0 - cap)
        add(former, kind .. '.granted', 0 - cap)
      end
    end
    tell(KEYS[5], 'adopt', '', s[4], '', '', '{"former":' .. cjson.encode(s[5]) .. ',"parent":' .. cjson.encode(s[6])
      .. '}')
  end,
  -- A new period of an account: {'period', account, id, period}. What was spent is forgotten; what open accounts and
  -- calls hold of it stays theirs.
  period = function(s)
    local account, spent, over = KEYS[s[2]], {}, {}
    unreadable = false
    for _, kind in ipairs(SPENT_KINDS) do
      spent[kind], over[kind] = number(account, kind .. '.spent'), number(account, kind .. '.overdraft')
      add(account, kind .. '.free', spent[kind] - over[kind])
      redis.pcall('HSET', account, kind .. '.spent', 0, kind .. '.overdraft', 0, kind .. '.assumed', 0)
    end
    redis.pcall('HSET', account, 'tokens.unpriced', 0, 'tokens.cached', 0, 'period', s[4])
    redis.pcall('HDEL', account, 'warned')
    tell(KEYS[5], 'period', '', s[3], '', '', '{"spent":' .. amounts_of(SPENT_KINDS, spent) .. ',"overdraft":'
      .. amounts_of(SPENT_KINDS, over) .. and_unreadable())
  end,
  -- Settles what calls left open in a step journal: {'settle', account, id, journal, agent}.
  settle = function(s) settle_open(KEYS[s[4]], s[5], KEYS[s[2]], s[3]) end,
  -- Closes an account into its parent's: {'close', account, parent, id, parent's id, [[journal, agent], …],
  -- percent of its cap at which the parent is warned of, once}. What
  -- open calls in the step journals reserved of it is settled at the full reserve first (their late `end` then finds
  -- nothing to settle). Nothing is granted of it any more: its children ended before it, or were adopted.
  close = function(s)
    local account, parent = KEYS[s[2]], KEYS[s[3]]
    for _, journal in ipairs(s[6]) do settle_open(KEYS[journal[1]], journal[2], account, s[4]) end
    local moved = {cap = {}, free = {}, granted = {}, spent = {}, overdraft = {}}
    unreadable = false
    for _, kind in ipairs(ALL_KINDS) do
      local cap, spent = number(account, kind .. '.cap'), number(account, kind .. '.spent')
      local free, over = number(account, kind .. '.free'), number(account, kind .. '.overdraft')
      -- An agent's own slot is given back when it ends.
      if kind == 'agents' then free = free + number(account, 'agents.reserved') end
      add(parent, kind .. '.free', free)
      add(parent, kind .. '.spent', spent)
      add(parent, kind .. '.overdraft', over)
      local granted, assumed = number(account, kind .. '.granted'), number(account, kind .. '.assumed')
      add(parent, kind .. '.granted', granted - cap)
      if assumed > 0 then add(parent, kind .. '.assumed', assumed) end
      redis.pcall('HSET', account, kind .. '.cap', spent - over, kind .. '.free', 0, kind .. '.reserved', 0,
        kind .. '.granted', 0)
      moved.cap[kind], moved.free[kind], moved.granted[kind] = cap, free, granted
      moved.spent[kind], moved.overdraft[kind] = spent, over
    end
    for _, memo in ipairs({'tokens.unpriced', 'tokens.cached'}) do
      local n = number(account, memo)
      if n > 0 then add(parent, memo, n) end
    end
    local parts = {'{"parent":' .. cjson.encode(s[5])}
    for _, amount in ipairs({'cap', 'free', 'granted', 'spent', 'overdraft'}) do
      parts[#parts + 1] = '"' .. amount .. '":' .. amounts_of(ALL_KINDS, moved[amount])
    end
    tell(KEYS[5], 'close', '', s[4], '', '', table.concat(parts, ',') .. and_unreadable())
    local warned = redis.pcall('HGET', parent, 'warned')
    for _, kind in ipairs(SPENT_KINDS) do
      local cap, spent = number(parent, kind .. '.cap'), number(parent, kind .. '.spent')
      if warned == false and cap > 0 and spent * 100 >= cap * s[7] then
        warned = kind
        redis.call('HSET', parent, 'warned', kind)
        redis.call('XADD', KEYS[5], '*', 'fact', 'warn', 'agent', '', 'account', s[5], 'call', '', 'kind', kind, 'own',
          string.format('%.0f', cap), 'left', string.format('%.0f', cap - spent), 'at', '')
      end
    end
  end,
  -- Repairs. {'mend', account, [[field, by how much it is off], …]}: what is no number counts as nothing, and what is
  -- no account goes before.
  mend = function(s)
    local account = KEYS[s[2]]
    if redis.call('TYPE', account).ok ~= 'hash' then redis.call('UNLINK', account) end
    for _, one in ipairs(s[3]) do
      if string.match(redis.call('HGET', account, one[1]) or '0', '^%-?%d+$') then
        redis.call('HINCRBY', account, one[1], one[2])
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
        add(account, kind .. '.reserved', 0 - beyond)
        add(account, kind .. '.spent', beyond)
        add(account, kind .. '.assumed', beyond)
      end
    end
    if #kinds > 0 then tell_settled(KEYS[5], '', s[3], '', '', kinds, excess, excess, {}, true, 0, {}) end
  end,
  -- {'disown', ended, [member, …], [key, …]}: the keys of somebody who neither lives nor is among those who have ended.
  disown = function(s)
    for _, member in ipairs(s[3]) do
      if redis.call('ZSCORE', KEYS[s[2]], member) then return end
    end
    for _, key in ipairs(s[4]) do redis.call('UNLINK', KEYS[key]) end
  end,
  -- {'retype', key, type, where to, channel or false}: what is of another type is set aside.
  retype = function(s)
    local found = redis.call('TYPE', KEYS[s[2]]).ok
    if found == s[3] or found == 'none' then return end
    redis.call('RENAME', KEYS[s[2]], KEYS[s[4]])
    -- As in `set_aside.lua`.
    if s[3] ~= 'stream' then return end
    local last = {redis.call('XADD', KEYS[s[2]], '*', 'set', 'aside'), 1}
    redis.call('XDEL', KEYS[s[2]], last[1])
    if ends[s[5]] then ends[s[5]] = last end
    if s[5] then keep_ends(KEYS[6], {[s[5]] = last}, {s[5]}) end
  end,
  -- What a channel's end did not count is counted: {'count', stream, channel, entries}. An end that is lost is made
  -- anew by the next post, of all that is there.
  count = function(s)
    local id, count = string.match(redis.call('HGET', KEYS[6], s[3]) or '', END)
    if not id then return end
    local last, _, newest_id = ends[s[3]] or {id, tonumber(count)}, added_to(KEYS[s[2]])
    last[2], last[3] = last[2] + s[4], newest_id
    keep_ends(KEYS[6], {[s[3]] = last}, {s[3]})
  end,
  -- {'forget', stream, channel}: a channel that has no stream. Of one that has, the end is what the stream says.
  forget = function(s)
    if redis.call('EXISTS', KEYS[s[2]]) == 0 then return forget_channels({s[3]}) end
    local added, last = added_to(KEYS[s[2]])
    keep_ends(KEYS[6], {[s[3]] = {last, added}}, {s[3]})
  end,
  -- Agents reaped and their accounts closed, the deepest first: {'reap', agents, ended, holds, prefix, at, forget at,
  -- [[id, account above, reason], …]}. One verb for all that a record's end is, and each account is read and written
  -- once for all that closes into it: a step of a hundred stays under a few milliseconds. The names of an agent's own
  -- keys are made here, as keys.py makes them: declared one by one they would be most of what is sent.
  reap = function(s)
    local prefix, at, forget_at, reaped = s[5], s[6], s[7], s[8]
    -- What closed accounts give to those above them: account -> field -> amount. Of one that is closed itself later in
    -- this step it is part of what that gives on; of the others it is added when all are closed.
    local given = {}
    local gone, due, channels, names, journals = {}, {}, {}, {}, {}
    for i, one in ipairs(reaped) do journals[i] = prefix .. '_steps:' .. one[1] end
    -- Of most agents no call is open when they end: asked once for all of them.
    local any_open = redis.call('EXISTS', unpack(journals)) > 0
    for i, one in ipairs(reaped) do
      local id, above, account = one[1], one[2], prefix .. 'ledger:' .. one[1]
      if any_open and redis.call('EXISTS', journals[i]) == 1 then settle_open(journals[i], id, account, id) end
      local flat, has, got = redis.pcall('HGETALL', account), {}, given[id]
      for j = 1, flat.err and 0 or #flat, 2 do
        if flat[j + 1] ~= '0' then has[flat[j]] = tonumber(flat[j + 1]) end
      end
      given[id] = nil
      local changed, to = {}, given[above]
      if not to then
        to = {}
        given[above] = to
      end
      local function set(field, amount)
        if amount ~= (has[field] or 0) then changed[#changed + 1], changed[#changed + 2] = field, amount end
      end
      local function give(field, amount)
        if amount ~= 0 then to[field] = (to[field] or 0) + amount end
      end
      for k = 1, #FIELDS do
        local names_of = FIELDS[k]
        local now = {}
        for n = 1, #names_of do
          local field = names_of[n]
          now[n] = (has[field] or 0) + (got and got[field] or 0)
        end
        local cap, free, reserved, granted, spent, over, assumed = unpack(now)
        -- An agent's own slot is given back when it ends.
        give(names_of[2], ALL_KINDS[k] == 'agents' and free + reserved or free)
        give(names_of[4], granted - cap)
        give(names_of[5], spent)
        give(names_of[6], over)
        give(names_of[7], assumed)
        set(names_of[1], spent - over)
        set(names_of[2], 0)
        set(names_of[3], 0)
        set(names_of[4], 0)
        set(names_of[5], spent)
        set(names_of[6], over)
        set(names_of[7], assumed)
      end
      for _, memo in ipairs({'tokens.unpriced', 'tokens.cached'}) do
        local n = (has[memo] or 0) + (got and got[memo] or 0)
        give(memo, n)
        set(memo, n)
      end
      if #changed > 0 then redis.pcall('HSET', account, unpack(changed)) end
      redis.call('HSET', prefix .. 'agent:' .. id, 'state', 'terminated', 'reason', one[3], 'host', '', 'ended', at)
      -- What nobody has accepted by then is accepted by nobody any more.
      local task = prefix .. 'task:' .. id
      local work = redis.pcall('HGET', task, 'state')
      if type(work) == 'string' and work ~= 'done' then redis.call('HSET', task, 'state', 'lapsed', 'ended', at) end
      gone[i] = id
      due[#due + 1], due[#due + 2] = forget_at, 'agent:' .. id
      for _, channel in ipairs(MAILBOXES) do
        channels[#channels + 1] = channel .. id
        names[#names + 1] = prefix .. channel .. id
      end
      for _, key in ipairs(OWN_KEYS) do names[#names + 1] = prefix .. key .. id end
    end
    for account, amounts in pairs(given) do
      for field, amount in pairs(amounts) do add(prefix .. 'ledger:' .. account, field, amount) end
    end
    redis.call('SREM', KEYS[s[2]], unpack(gone))
    redis.call('HDEL', KEYS[s[4]], unpack(gone))
    redis.call('ZADD', KEYS[s[3]], unpack(due))
    forget_channels(channels)
    redis.call('UNLINK', unpack(names))
    local told = {}
    for i, one in ipairs(reaped) do told[i] = {one[1], one[2]} end
    tell(KEYS[5], 'reap', '', '', '', at, cjson.encode(told))
  end,
}
-- A key that somebody gave another type is passed over, and said: an error here would leave the rest of the commit
-- undone, and the next supervisor before the same key. What fails for another reason fails at each write alike, the
-- first too.
for _, at in ipairs(plan.long) do
  local step = plan.steps[at[1]]
  if at[3] == 0 then step[at[2]] = ARGV[at[4]] else step[at[2]][at[3]] = ARGV[at[4]] end
end
local is_damaged = false
for _, s in ipairs(plan.steps) do
  if not NO_ACCOUNTS[s[1]] then carve_owed() end
  local is_done, why = pcall(verbs[s[1]], s)
  if not is_done then
    if not string.find(type(why) == 'table' and why.err or tostring(why), 'WRONGTYPE', 1, true) then error(why) end
    is_damaged = true
  end
end
carve_owed()
local moved = {}
for _, channel in ipairs(posted) do
  if posted[channel] then moved[#moved + 1] = channel end
end
keep_ends(KEYS[6], ends, moved)
for _, channel in ipairs(moved) do redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[4]), channel) end
local positions = {'seq', ARGV[2]}
for input, id in pairs(plan.positions) do positions[#positions + 1] = input; positions[#positions + 1] = id end
redis.call('HSET', KEYS[2], unpack(positions))
return is_damaged and 'damaged' or 'done'
