-- Replace reservations by what was spent, each once however often it is sent.
-- ARGV: as MessagePack: now, then (id, units, unix seconds it belongs to) for each.
local now, charges = unpack(cmsgpack.unpack(ARGV[1]))
now = clock(now)

local function charge(units, at)
  roll(at)
  redis.call('HINCRBY', KEYS[1], 'total', units)
  for _, period in ipairs(PERIODS) do
    if tonumber(field(period[1])) == at[period[1]] then
      redis.call('HINCRBY', KEYS[1], period[2], units)
    end
  end
end

expire(now)
for _, one in ipairs(charges) do
  local id, units, at = unpack(one)
  if redis.call('ZADD', KEYS[5], 'NX', whole(now * 1000), id) == 1 then
    drop(id)
    if units ~= '0' then charge(units, periods(at)) end
  end
end
-- Remembered by number, not by age, so that an outage may be of any length.
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -10001)
redis.call('EXPIRE', KEYS[5], 2592000)
return figures()
