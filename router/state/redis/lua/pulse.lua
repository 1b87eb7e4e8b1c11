-- A replica says it is there, passes on its notes and hears the others', and where conversations moved.
-- KEYS: replicas, notes, version of the keys, moves. ARGV: replica, first note and first move not heard yet ('': those
--       from now on), then notes as JSON.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3000)
for index = 4, #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'replica', ARGV[1], 'note', ARGV[index])
end
now = string.format('%.0f', now)
local notes = redis.call('XRANGE', KEYS[2], ARGV[2], '+', 'COUNT', 1000)
local moves = redis.call('XRANGE', KEYS[4], ARGV[3] == '' and now or ARGV[3], '+', 'COUNT', 1000)
return {now, redis.call('ZCARD', KEYS[1]), redis.call('GET', KEYS[3]) or '0', notes, moves}
