-- Forget a client's key and let the replicas know. KEYS: keys, their version. ARGV: hash.
local gone = redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
return gone
