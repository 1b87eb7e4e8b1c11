-- Store rows once each, with their sums, their place in the indexes and the stream other systems read.
-- KEYS: index, stream, names of keys, the rows' own, then what the rest refers to by number.
-- ARGV: seconds rows are kept; as MessagePack: rows (id, created ms, lengths of the packed row and of its JSON, number
--       of the client's index or 0), clients (number of the index, client, name), sums (number of the hash, seconds
--       kept, then field and amount by turns); packed row and JSON of each row, all in one.
-- Where some rows are there already nothing is done but to say which: the sums are of all of them together.
local kept = tonumber(ARGV[1])
local rows, clients, sums = unpack(cmsgpack.unpack(ARGV[2]))

local there = {}
for place = 1, #rows do
  if redis.call('EXISTS', KEYS[3 + place]) == 1 then there[#there + 1] = place end
end
if #there > 0 then return there end

local at = 0
local function take(length)
  at = at + length
  return string.sub(ARGV[3], at - length + 1, at)
end

local oldest = math.huge
for place, row in ipairs(rows) do
  local id, created, packed, json, client = unpack(row)
  redis.call('SET', KEYS[3 + place], take(packed), 'EX', kept)
  redis.call('ZADD', KEYS[1], created, id)
  if client > 0 then redis.call('ZADD', KEYS[client], created, id) end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', 'id', id, 'row', take(json))
  oldest = math.min(oldest, created)
end
for _, client in ipairs(clients) do
  redis.call('ZREMRANGEBYSCORE', KEYS[client[1]], '-inf', string.format('%.0f', oldest - kept * 1000))
  redis.call('HSET', KEYS[3], client[2], client[3])
end
for _, sum in ipairs(sums) do
  for index = 3, #sum, 2 do
    redis.call('HINCRBY', KEYS[sum[1]], sum[index], sum[index + 1])
  end
  redis.call('EXPIRE', KEYS[sum[1]], sum[2])
end
return there
