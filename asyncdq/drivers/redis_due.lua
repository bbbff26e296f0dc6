-- Microseconds until one of the queues has something to claim, by a delay or the end of a lease: 0 if one has, and
-- -1 if nothing is there that time alone would make ready.
--
-- KEYS  for each queue: ready leased delayed

local soonest
for at = 1, #KEYS, 3 do
    if redis.call('EXISTS', KEYS[at]) == 1 then
        return 0
    end
    for other = at + 1, at + 2 do
        local first = redis.call('ZRANGE', KEYS[other], 0, 0, 'WITHSCORES')[2]
        if first then
            soonest = math.min(soonest or tonumber(first), tonumber(first))
        end
    end
end
if not soonest then
    return -1
end
local time = redis.call('TIME')
return math.max(0, soonest - (time[1] * 1000000 + time[2]))
