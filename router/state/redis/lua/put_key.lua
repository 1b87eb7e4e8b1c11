-- Store a client's key and let the replicas know. KEYS: keys, their version. ARGV: hash, record.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('INCR', KEYS[2])
