-- Several hashes whole.
local found = {}
for index, key in ipairs(KEYS) do
  found[index] = redis.call('HGETALL', key)
end
return found
