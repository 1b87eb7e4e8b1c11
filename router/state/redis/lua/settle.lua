-- Replace reservations by what was spent, each once however often it is sent.
-- ARGV: now, how many, then (id, units, unix seconds it belongs to) for each.
local now = clock(ARGV[1])

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
for index = 1, tonumber(ARGV[2]) do
  local id, units, at = ARGV[3 * index], ARGV[3 * index + 1], tonumber(ARGV[3 * index + 2])
  if redis.call('ZADD', KEYS[5], 'NX', whole(now * 1000), id) == 1 then
    drop(id)
    if units ~= '0' then charge(units, periods(at)) end
  end
end
-- Remembered by number, not by age, so that an outage may be of any length.
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -10001)
redis.call('EXPIRE', KEYS[5], 2592000)
return figures()
