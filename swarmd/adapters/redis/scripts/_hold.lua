-- Included by the scripts that act for an agent: does this host still hold it, and may it act?
--   holds        the hash of all agents' holds: agent -> `STATE INCARNATION LEASE HOST`, none of who has ended
--   agent        its id          host_key  the host's lease
--   fences       fenced segments stops     what is stopped: target -> `KIND {…}`
--   segments     the path's segments, and for a seat the mission's
--   targets      further targets under which it is stopped or fenced: `=AGENT`, `tier:N`, `*`
-- Returns nil, or the name of the rule that says no and a detail; a stop's kind comes third.
--   The firmest counts: a drain lets a begun turn go on, and must not hide a freeze beside it.
local function stop_of(stops, fields)
  local marks, kind, target = redis.call('HMGET', stops, unpack(fields)), nil, nil
  for i = 1, #fields do
    if marks[i] and (not kind or kind == 'drain') then kind, target = string.match(marks[i], '^%a+'), fields[i] end
  end
  return kind, target
end

local STOP_RULES = {freeze = 'stop.frozen', drain = 'stop.draining', halt = 'stop.halted'}

local function refusal(holds, agent, host_key, fences, stops, segments, targets, incarnation, lease, host)
  local all = {unpack(segments)}
  for i = 1, #targets do all[#all + 1] = targets[i] end
  local marks = redis.call('HMGET', fences, unpack(all))
  for i = 1, #all do
    if marks[i] then return 'fence.path', all[i] end
  end
  local hold = redis.call('HGET', holds, agent) or ''
  local state, now, held, holder = string.match(hold, '^(%a+) (%d+) (%d+) (.*)$')
  if not state then return 'agent.unknown', 'it has ended, or nobody has made it' end
  if now ~= incarnation then return 'incarnation.former', 'now ' .. now end
  if held ~= lease or holder ~= host then return 'lease.lost', 'held by ' .. holder end
  if redis.call('EXISTS', host_key) == 0 then return 'lease.lost', 'the host did not renew' end
  local kind, target = stop_of(stops, all)
  if kind then return STOP_RULES[kind], target, kind end
  if state ~= 'live' then return 'fence.path', 'state is ' .. state end
  return nil
end
