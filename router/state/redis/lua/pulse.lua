-- A replica says it is there, passes on its notes and hears the others'.
-- KEYS: replicas, notes, version of the keys. ARGV: replica, last note heard, then notes as JSON.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3000)
for index = 3, #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'replica', ARGV[1], 'note', ARGV[index])
end
local heard = redis.call('XRANGE', KEYS[2], ARGV[2], '+', 'COUNT', 1000)
return {string.format('%.0f', now), redis.call('ZCARD', KEYS[1]), redis.call('GET', KEYS[3]) or '0', heard}
