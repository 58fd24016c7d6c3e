-- Included by the scripts that write several keys: is each of the type that is written there? Asked before anything is
-- written, for an error in the middle would leave half a step behind, and a message that is passed over would be lost.
-- Both return nil, or what the script answers: an error of the server's own code.
local function wrong_type(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ' and not a ' .. kind)
  end
end

local function wrong_counter(key)
  local wrong = wrong_type(key, 'string')
  local value = not wrong and redis.call('GET', key)
  if value and not (#value <= 15 and string.find(value, '^%d+$')) then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is no counter')
  end
  return wrong
end

local function wrong_for_posting(heads, posts) return wrong_type(heads, 'zset') or wrong_counter(posts) end
