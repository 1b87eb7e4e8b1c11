-- Reserve money and count a request, both or neither.
-- ARGV: now, id, units, limit or '', field of the limit, rpm or 0, lease seconds,
--       then what the caller last knew: total, day, daily, week, weekly, month, monthly.
local now, id, units = clock(ARGV[1]), ARGV[2], ARGV[3]
local at = periods(now)

-- A server that came back without its last writes: what a replica was told before is true all the same. The larger
-- figure is taken, never a sum, so any number of replicas may say so at once.
local function learn()
  if tonumber(ARGV[8]) > tonumber(field('total')) then redis.call('HSET', KEYS[1], 'total', ARGV[8]) end
  for index, period in ipairs(PERIODS) do
    local known, spent = ARGV[7 + 2 * index], ARGV[8 + 2 * index]
    if tonumber(known) == at[period[1]] and tonumber(spent) > tonumber(field(period[2])) then
      redis.call('HSET', KEYS[1], period[2], spent)
    end
  end
end

local function answer(granted, which, wait)
  return {granted, which, wait, whole(now * 1000000), figures()}
end

roll(at)
learn()
expire(now)

-- Already given, or already over: its settling overtook it on another connection.
if redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[5], id) then
  return answer(1, '', '0')
end

local rpm = tonumber(ARGV[6])
if rpm > 0 then
  local first = redis.call('LINDEX', KEYS[4], -rpm)
  local wait = first and tonumber(first) / 1000000 + 60 - now or 0
  if wait > 0 then
    return answer(0, 'rpm', whole(math.ceil(wait * 1000000)))
  end
end
if ARGV[4] ~= '' then
  local left = tonumber(ARGV[4]) - tonumber(field(ARGV[5])) - tonumber(field('reserved'))
  if left < 0 or tonumber(units) > left then
    return answer(0, 'usd', '0')
  end
end

redis.call('ZADD', KEYS[2], whole((now + tonumber(ARGV[7])) * 1000), id)
redis.call('HSET', KEYS[3], id, units)
redis.call('HINCRBY', KEYS[1], 'reserved', units)
if rpm > 0 then
  redis.call('RPUSH', KEYS[4], whole(now * 1000000))
  redis.call('LTRIM', KEYS[4], -rpm, -1)
  redis.call('EXPIRE', KEYS[4], 61)
end
return answer(1, '', '0')
