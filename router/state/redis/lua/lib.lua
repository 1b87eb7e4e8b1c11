-- Shared by the scripts of one key's spend. KEYS: spend, leases, amounts, admitted, done.
local PERIODS = {{'day', 'daily'}, {'week', 'weekly'}, {'month', 'monthly'}}

-- Unix seconds: Redis's own clock, which all replicas share, unless a test brings one.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Days since 1970, weeks from Monday, months since year 0, as router/state/periods.py counts them.
local function periods(at)
  local day = math.floor(at / 86400)
  local shifted = day + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local year_of_era = math.floor(
    (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local march_month = math.floor((5 * of_year + 2) / 153)
  local year = year_of_era + era * 400
  local month = march_month + 2
  if month > 11 then
    month = month - 12
    year = year + 1
  end
  return {day = day, week = math.floor((day + 3) / 7), month = year * 12 + month}
end

local function field(name)
  return redis.call('HGET', KEYS[1], name) or '0'
end

local function roll(now)
  for _, period in ipairs(PERIODS) do
    if tonumber(field(period[1])) < now[period[1]] then
      redis.call('HSET', KEYS[1], period[1], whole(now[period[1]]), period[2], '0')
    end
  end
end

local function drop(id)
  local units = redis.call('HGET', KEYS[3], id)
  if units and units ~= '0' then
    redis.call('HINCRBY', KEYS[1], 'reserved', '-' .. units)
  end
  redis.call('HDEL', KEYS[3], id)
  redis.call('ZREM', KEYS[2], id)
end

local function expire(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now * 1000), 'LIMIT', 0, 1000)) do
    drop(id)
  end
end

local function figures()
  local found = redis.call('HMGET', KEYS[1], 'total', 'day', 'daily', 'week', 'weekly', 'month', 'monthly', 'reserved')
  for index = 1, 8 do
    found[index] = found[index] or '0'
  end
  return found
end
