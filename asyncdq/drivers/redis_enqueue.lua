-- Store messages of one queue; answer the places (from 1) of those whose id was known.
-- HSETNX decides the push: an id that is ready, delayed or leased has its body there.
--
-- KEYS  ready bodies delayed
-- ARGV  channel, look_again, then for each message: id, body, delay      (times in microseconds)

local FRESH = '\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0' -- no token yet, attempt 1, lost 0
local ready, bodies, delayed = KEYS[1], KEYS[2], KEYS[3]
local known, undelayed, later = {}, {}, {}
local soonest

for at = 3, #ARGV, 3 do
    local id, delay = ARGV[at], tonumber(ARGV[at + 2])
    if redis.call('HSETNX', bodies, id, ARGV[at + 1]) == 0 then
        known[#known + 1] = at / 3
    elseif delay == 0 then
        undelayed[#undelayed + 1] = FRESH .. id
    else
        soonest = math.min(soonest or delay, delay)
        later[#later + 1] = delay
        later[#later + 1] = FRESH .. id
    end
end

local news = false
if #undelayed > 0 then
    news = redis.call('RPUSH', ready, unpack(undelayed)) == #undelayed
end
if #later > 0 then
    local time = redis.call('TIME')
    local now = time[1] * 1000000 + time[2] + 1
    for at = 1, #later, 2 do
        later[at] = now + later[at]
    end
    -- Who waits sleeps until the first one is due, or looks again by itself: only what comes before both is news.
    local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', delayed, unpack(later))
    news = news or (soonest < tonumber(ARGV[2]) and (not first or now + soonest < tonumber(first)))
end
if news then
    redis.pcall('PUBLISH', ARGV[1], '')  -- who may not is told when it listens
end
return known
