-- Who served conversations last, for each of them and, where there are other replicas, for these to hear.
-- KEYS: moves, replicas, then each conversation's own. ARGV: replica, milliseconds it is kept; as MessagePack:
--       conversations, then who served each.
for index, endpoint in ipairs(cmsgpack.unpack(ARGV[3])[2]) do
  redis.call('SET', KEYS[index + 2], endpoint, 'PX', ARGV[2])
end
if redis.call('ZCARD', KEYS[2]) > 1 then
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', 'replica', ARGV[1], 'moves', ARGV[3])
end
return 0
