-- A place among the calls that a provider lets the whole swarm start, first come, first served, by the server's clock.
-- Invariant: of the starts in any stretch of a window there are `calls` at most, and their tokens are `tokens` at most.
-- A start may lie ahead; whoever has it waits until then and no other gets it. Starts never go back, so both bounds
-- are one look each into the log: which start must have left the window before the next may come.
-- KEYS[1] pace: hash, `last` start, `tokens` and `count` ever given, `until:MODEL` before which nothing may start
-- KEYS[2] starts: sorted set, member `NUMBER START TOKENS`, score all tokens up to and with it
-- ARGV[1] model  ARGV[2] calls allowed in a window  ARGV[3] tokens allowed (0: any number)  ARGV[4] window, ms
-- ARGV[5] tokens of this call  ARGV[6] the longest wait, ms
-- ARGV[7] the start that was given before and has been waited for, or ''
-- Returns {start's member, ms to wait}, or {'', ms} where that is too long and nothing was given. With ARGV[7] the same
-- start and 0, unless the provider has asked for patience since: then another. O(log calls).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local calls, allowed, window = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known = redis.call('HMGET', KEYS[1], 'last', 'tokens', 'count', 'until:' .. ARGV[1])
local last, total, count = tonumber(known[1] or 0), tonumber(known[2] or 0), tonumber(known[3] or 0)
local patience = tonumber(known[4] or 0)

local function facts(member)
  local start, tokens = string.match(member, '^%d+ (%d+) (%d+)$')
  return tonumber(start), tonumber(tokens)
end

if ARGV[7] ~= '' then
  if facts(ARGV[7]) >= patience then return {ARGV[7], 0} end
  redis.call('ZREM', KEYS[2], ARGV[7])
end
-- What has left the window bounds nothing any more. A few at a time: as many go as come.
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, 3)) do
  if facts(member) > now - window then break end
  redis.call('ZREM', KEYS[2], member)
end

local start = math.max(now, last, patience)
local full = redis.call('ZRANGE', KEYS[2], 0 - calls, 0 - calls)
if full[1] then start = math.max(start, facts(full[1]) + window) end
local tokens = 0
if allowed > 0 then
  -- What is larger than a window's whole allowance has one for itself.
  tokens = math.min(tonumber(ARGV[5]), allowed)
  local over = total + tokens - allowed
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  if oldest[1] then
    local _, of_it = facts(oldest[1])
    if over > tonumber(oldest[2]) - of_it then
      local leaves = redis.call('ZRANGE', KEYS[2], string.format('%.0f', over), '+inf', 'BYSCORE', 'LIMIT', 0, 1)
      if leaves[1] then start = math.max(start, facts(leaves[1]) + window) end
    end
  end
end
if start - now > tonumber(ARGV[6]) then return {'', start - now} end

total, count = total + tokens, count + 1
local member = string.format('%016.0f %.0f %.0f', count, start, tokens)
redis.call('ZADD', KEYS[2], string.format('%.0f', total), member)
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', start), 'tokens', string.format('%.0f', total), 'count',
  string.format('%.0f', count))
return {member, start - now}
