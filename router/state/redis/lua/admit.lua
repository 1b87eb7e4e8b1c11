-- Reserve money and count a request, both or neither.
-- ARGV: as MessagePack: now, id, units, limit or '', field of the limit, rpm or 0, lease seconds, and in one text what
--       the caller last knew: total, day, daily, week, weekly, month, monthly.
local now, id, units, limit, limited, rpm, lease, figures_known = unpack(cmsgpack.unpack(ARGV[1]))
now = clock(now)
local at = periods(now)

-- A server that came back without its last writes: what a replica was told before is true all the same. The larger
-- figure is taken, never a sum, so any number of replicas may say so at once.
local function learn()
  local figures = {}
  for figure in string.gmatch(figures_known, '%S+') do figures[#figures + 1] = figure end
  if tonumber(figures[1]) > tonumber(field('total')) then redis.call('HSET', KEYS[1], 'total', figures[1]) end
  for index, period in ipairs(PERIODS) do
    local known, spent = figures[2 * index], figures[2 * index + 1]
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

if rpm > 0 then
  local first = redis.call('LINDEX', KEYS[4], -rpm)
  local wait = first and tonumber(first) / 1000000 + 60 - now or 0
  if wait > 0 then
    return answer(0, 'rpm', whole(math.ceil(wait * 1000000)))
  end
end
if limit ~= '' then
  local left = tonumber(limit) - tonumber(field(limited)) - tonumber(field('reserved'))
  if left < 0 or tonumber(units) > left then
    return answer(0, 'usd', '0')
  end
end

redis.call('ZADD', KEYS[2], whole((now + lease) * 1000), id)
redis.call('HSET', KEYS[3], id, units)
redis.call('HINCRBY', KEYS[1], 'reserved', units)
if rpm > 0 then
  redis.call('RPUSH', KEYS[4], whole(now * 1000000))
  redis.call('LTRIM', KEYS[4], -rpm, -1)
  redis.call('EXPIRE', KEYS[4], 61)
end
return answer(1, '', '0')
