-- What a key has spent. ARGV: now.
local now = clock(ARGV[1])
roll(periods(now))
expire(now)
return figures()
