-- An attempt of a turn that may have been begun before is counted, before it is made: what ends the process is
-- counted too. Asked only where there is reason to: after a failure, or of what waited when its agent came here.
-- KEYS[1] steps  KEYS[2] holds
-- ARGV[1] turn  ARGV[2] token of this attempt: a repeated script counts once
-- ARGV[3] 'begun' | 'failed' (made already, and not counted then) | 'cut' (its host ended in order: it was none)
-- ARGV[4] agent  ARGV[5] the result of a call that was given up half-way
-- Returns the number of attempts of this turn, this one with them, since the last one that got further than the one
-- before it, for a turn that its host's end cuts again and again is long, not poison. 0 for an agent that is gone:
-- nobody would remove what was written for it after its reaping. A call that was given up is paid and answers nothing:
-- no attempt got further by it, or one that raises in the same call each time would be paid without end.
-- Costs one HKEYS, and one HGET for each call of the turn that has ended.
if redis.call('HEXISTS', KEYS[2], ARGV[4]) == 0 then return 0 end
local function is_lost(step) return redis.call('HGET', KEYS[1], step) == ARGV[5] end
local field, ended, begun = ARGV[1] .. ':tries', 0, false
for _, step in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.match(step, '^%d+:%d+:e$') and not is_lost(step) then ended = ended + 1 end
  if step == ARGV[1] .. ':batch' then begun = true end
end
local count, before, token = string.match(redis.call('HGET', KEYS[1], field) or '', '^(%d+) (%d+) (.*)$')
if token == ARGV[2] then return tonumber(count) end
-- One that reached its first call and was never counted.
local made = count and tonumber(count) or (begun and ARGV[3] == 'begun' and 1 or 0)
if before and ended > tonumber(before) then made = 0 end
made = ARGV[3] == 'cut' and math.max(0, made - 1) or made + 1
redis.call('HSET', KEYS[1], field, made .. ' ' .. ended .. ' ' .. ARGV[2])
return made
