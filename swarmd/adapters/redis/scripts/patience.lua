-- A provider has said that nothing of a model's may start for so long: all workers heed it.
-- KEYS[1] pace  ARGV[1] model  ARGV[2] ms
-- Returns nothing. What is asked for sooner than before changes nothing.
local time = redis.call('TIME')
local ends = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[2])
local field = 'until:' .. ARGV[1]
if ends > tonumber(redis.call('HGET', KEYS[1], field) or 0) then
  redis.call('HSET', KEYS[1], field, string.format('%.0f', ends))
end
return redis.status_reply('OK')
