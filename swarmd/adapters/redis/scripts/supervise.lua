-- include: _post
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

local function settle_open(journal, account, id)
  local flat, steps = redis.call('HGETALL', journal), {}
  for i = 1, #flat, 2 do steps[flat[i]] = flat[i + 1] end
  for field, value in pairs(steps) do
    local step = string.match(field, '^(.*):b$')
    local open = step and not steps[step .. ':e'] and cjson.decode(value)
    if open and open.account == id then
      for _, kind in ipairs({'tokens', 'calls'}) do
        redis.call('HINCRBY', account, kind .. '.reserved', 0 - open[kind])
        redis.call('HINCRBY', account, kind .. '.spent', open[kind])
      end
      redis.call('HDEL', journal, field)
      redis.call('XADD', KEYS[5], '*', 'fact', 'settle', 'account', id, 'step', step, 'tokens', open.tokens,
        'calls', open.calls, 'assumed', '1')
    end
  end
end

local verbs = {
  hset = function(s) redis.call('HSET', KEYS[s[2]], unpack(s[3])) end,
  incr = function(s) redis.call('HINCRBY', KEYS[s[2]], s[3], s[4]) end,
  sadd = function(s) redis.call('SADD', KEYS[s[2]], unpack(s[3])) end,
  srem = function(s) redis.call('SREM', KEYS[s[2]], unpack(s[3])) end,
  zadd = function(s) redis.call('ZADD', KEYS[s[2]], s[3], s[4]) end,
  zrem = function(s) redis.call('ZREM', KEYS[s[2]], unpack(s[3])) end,
  hdel = function(s) redis.call('HDEL', KEYS[s[2]], unpack(s[3])) end,
  set = function(s) redis.call('SET', KEYS[s[2]], s[3]) end,
  del = function(s) redis.call('UNLINK', KEYS[s[2]]) end,
  trim = function(s) redis.call('XTRIM', KEYS[s[2]], 'MINID', s[3]) end,
  post = function(s) post(KEYS[s[2]], KEYS[3], KEYS[4], s[3], s[4], s[5]) end,
  -- First positions: the beginning where told so, else the stream's last id at this instant.
  follow = function(s)
    local id = '0-0'
    if s[5] ~= 'first' then
      local last = redis.call('XREVRANGE', KEYS[s[4]], '+', '-', 'COUNT', 1)
      id = last[1] and last[1][1] or '0-0'
    end
    redis.call('HSETNX', KEYS[s[2]], s[3], id)
  end,
  -- Closes an account into its parent's: {'close', account, parent, id, journals}. What open calls in the step
  -- journals reserved of it is settled at the full reserve first (their late `end` then finds nothing to settle);
  -- children were closed before, so nothing is granted.
  close = function(s)
    local account, parent = KEYS[s[2]], KEYS[s[3]]
    for _, journal in ipairs(s[5]) do settle_open(KEYS[journal], account, s[4]) end
    for _, kind in ipairs({'tokens', 'calls', 'agents'}) do
      local cap, spent = number(account, kind .. '.cap'), number(account, kind .. '.spent')
      local free, over = number(account, kind .. '.free'), number(account, kind .. '.overdraft')
      -- An agent's own slot is given back when it ends.
      if kind == 'agents' then free = free + number(account, 'agents.reserved') end
      redis.call('HINCRBY', parent, kind .. '.free', free)
      redis.call('HINCRBY', parent, kind .. '.spent', spent)
      redis.call('HINCRBY', parent, kind .. '.overdraft', over)
      redis.call('HINCRBY', parent, kind .. '.granted', 0 - cap)
      redis.call('HSET', account, kind .. '.cap', spent - over, kind .. '.free', 0, kind .. '.reserved', 0)
    end
  end,
}
for _, s in ipairs(plan.steps) do verbs[s[1]](s) end
local positions = {'seq', ARGV[2]}
for input, id in pairs(plan.positions) do positions[#positions + 1] = input; positions[#positions + 1] = id end
redis.call('HSET', KEYS[2], unpack(positions))
return 'done'
