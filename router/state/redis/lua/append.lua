-- Store rows once each, with their sums, their place in the indexes and the stream other systems read.
-- KEYS: index, stream, names of keys, then what ARGV refers to by number.
-- ARGV: seconds rows are kept, rows; for each row: its key, id, created ms, packed row, JSON, index of its client
--       or 0, client, name, number of increments; for each increment: hash, field, amount, seconds kept.
local kept, rows, place = tonumber(ARGV[1]), tonumber(ARGV[2]), 2

local function take()
  place = place + 1
  return ARGV[place]
end

local stored = 0
for _ = 1, rows do
  local key, id, created, packed, json = KEYS[tonumber(take())], take(), take(), take(), take()
  local index, client, name, increments = tonumber(take()), take(), take(), tonumber(take())
  if redis.call('SET', key, packed, 'NX', 'EX', kept) then
    stored = stored + 1
    redis.call('ZADD', KEYS[1], created, id)
    if index > 0 then
      redis.call('ZADD', KEYS[index], created, id)
      redis.call('ZREMRANGEBYSCORE', KEYS[index], '-inf', tonumber(created) - kept * 1000)
      redis.call('HSET', KEYS[3], client, name)
    end
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', 'id', id, 'row', json)
    for _ = 1, increments do
      local hash, field, amount, seconds = KEYS[tonumber(take())], take(), take(), take()
      redis.call('HINCRBY', hash, field, amount)
      redis.call('EXPIRE', hash, seconds)
    end
  else
    place = place + 4 * increments
  end
end
return stored
