-- include: _hold
-- include: _may
-- include: _types
-- include: _added
-- include: _post
-- The end of a turn, in one step: positions, state and outputs, under the turn's number.
-- KEYS[1] holds  KEYS[2] fences  KEYS[3] stops  KEYS[4] revocations  KEYS[5] host  KEYS[6] use  KEYS[7] state
-- KEYS[8] steps  KEYS[9] heads  KEYS[10] posts  KEYS[11] facts  KEYS[12] ends  KEYS[13…] one stream for each output
-- ARGV[1] incarnation  ARGV[2] lease  ARGV[3] host  ARGV[4] turn  ARGV[5] agent id  ARGV[6] at
-- ARGV[7] hops of the turn  ARGV[8] hops allowed, then with its length before it each: the segments; further targets of
-- stops; the state's field, value, …; fields of the state that go; then the number of facts and each with its length
-- before it: field, value, … (what the bus did not carry of this turn); and for each output: channel, line, what rings
-- instead or empty, number of privileges any one of which suffices (none: not asked), those
-- Returns {'done'} | {'again'} (this holder committed this turn before) | {'looped'} (committed, its outputs cut) |
-- {'refused', rule, detail} | {'output', index, rule, detail}: nothing was committed, for this output may not be.
local committed = redis.call('HMGET', KEYS[7], 'turn', 'lease')
local state, turn = tonumber(committed[1] or '0'), tonumber(ARGV[4])
-- By this very holder: a former one that comes late with a turn of this number made another one.
if state == turn and committed[2] == ARGV[2] then return {'again'} end

local at = 9
local function list()
  local found, n = {}, tonumber(ARGV[at])
  for i = 1, n do found[i] = ARGV[at + i] end
  at = at + n + 1
  return found
end
-- A list that goes on as it is need not be copied: where it begins and ends.
local function span()
  local first = at + 1
  at = first + tonumber(ARGV[at])
  return first, at - 1
end
local segments, targets = list(), list()
local first_field, last_field = span()
local first_gone, last_gone = span()
local facts, n = {}, tonumber(ARGV[at])
at = at + 1
for i = 1, n do facts[i] = list() end
local rule, detail, stop = refusal(KEYS[1], ARGV[5], KEYS[5], KEYS[2], KEYS[3], segments, targets, ARGV[1], ARGV[2],
  ARGV[3])
-- A drain waits for exactly this.
if stop == 'drain' then rule = nil end
if not rule and state ~= turn - 1 then rule, detail = 'lease.lost', 'turn ' .. turn .. ' after ' .. state end
if rule then
  redis.call('XADD', KEYS[11], '*', 'fact', 'refuse', 'agent', ARGV[5], 'call', ARGV[4], 'rule', rule,
    'detail', detail, 'of', 'turn', 'at', ARGV[6])
  return {'refused', rule, detail}
end

local wrong = wrong_for_posting(KEYS[9], KEYS[10]) or wrong_type(KEYS[11], 'stream') or wrong_type(KEYS[8], 'hash')
if wrong then return wrong end
local outputs, channels, streams, is_named = {}, {}, {}, {}
for k = 13, #KEYS do
  wrong = wrong_type(KEYS[k], 'stream')
  if wrong then return wrong end
  local channel, line, preview = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  local wanted = list()
  outputs[#outputs + 1] = {stream = KEYS[k], channel = channel, line = line, preview = preview}
  if not is_named[channel] then
    is_named[channel] = true
    channels[#channels + 1], streams[#streams + 1] = channel, KEYS[k]
  end
  if #wanted > 0 then
    local no, why = not_held(KEYS[6], KEYS[4], segments, wanted), wanted[1]
    if not no then
      -- Its room, this mission's or every one of that name, may be stopped, and so may the privilege.
      local stopped = {channel, 'room:' .. (string.match(wanted[1], '^room/([^/]+)/') or '')}
      for i = 1, #wanted do stopped[#stopped + 1] = 'use:' .. wanted[i] end
      local kind, target = stop_of(KEYS[3], stopped)
      if kind then no, why = STOP_RULES[kind], target end
    end
    if no then
      redis.call('XADD', KEYS[11], '*', 'fact', 'refuse', 'agent', ARGV[5], 'call', ARGV[4], 'rule', no,
        'detail', why, 'of', 'action', 'at', ARGV[6])
      return {'output', #outputs - 1, no, why}
    end
  end
end
local ends, wrong_ends = ends_of(KEYS[12], channels, streams)
if not ends then return wrong_ends end

redis.call('HSET', KEYS[7], 'turn', turn, 'lease', ARGV[2], unpack(ARGV, first_field, last_field))
if last_gone >= first_gone then redis.call('HDEL', KEYS[7], unpack(ARGV, first_gone, last_gone)) end
for i = 1, #facts do redis.call('XADD', KEYS[11], '*', unpack(facts[i])) end

-- The step journal goes, but for calls that a former holder began and this turn never came to: what they reserved
-- is settled by their late `end`, or when the account is closed.
local steps = redis.call('HKEYS', KEYS[8])
if #steps > 0 then
  local is_there, gone = {}, {}
  for _, step in ipairs(steps) do is_there[step] = true end
  for _, step in ipairs(steps) do
    local call = string.match(step, '^(.*):b$')
    if not call or is_there[call .. ':e'] then gone[#gone + 1] = step end
  end
  if #gone > 0 then redis.call('HDEL', KEYS[8], unpack(gone)) end
end

-- Loops are cut here, outside any model: the turn is committed, what it would have caused is not.
if tonumber(ARGV[7]) > tonumber(ARGV[8]) and #outputs > 0 then
  redis.call('XADD', KEYS[11], '*', 'fact', 'refuse', 'agent', ARGV[5], 'call', ARGV[4], 'rule', 'bus.hops',
    'detail', #outputs .. ' outputs at hop ' .. ARGV[7], 'of', 'turn', 'at', ARGV[6])
  return {'looped'}
end
-- Each channel is marked once, however many of the outputs go there, and with a number of its own: readers ask
-- for what is beyond a number, a page at a time.
for _, o in ipairs(outputs) do append(ends[o.channel], o.stream, o.channel, o.line, o.preview) end
keep_ends(KEYS[12], ends, channels)
local marks = {}
for i, channel in ipairs(channels) do
  marks[2 * i - 1], marks[2 * i] = redis.call('INCR', KEYS[10]), channel
end
if #marks > 0 then redis.call('ZADD', KEYS[9], unpack(marks)) end
return {'done'}
