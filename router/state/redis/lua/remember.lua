-- Who served conversations last, for each of them and, where there are other replicas, for these to hear.
-- KEYS: moves, replicas, then each conversation's own. ARGV: milliseconds it is kept; as MessagePack:
--       conversations, then who served each.
for index, endpoint in ipairs(cmsgpack.unpack(ARGV[2])[2]) do
  redis.call('SET', KEYS[index + 2], endpoint, 'PX', ARGV[1])
end
if redis.call('ZCARD', KEYS[2]) > 1 then
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', 'moves', ARGV[2])
end
return 0
