-- Delete up to ARGV[1] messages that are delayed, ready, or left behind by a lease that has ended; answer how many.
-- A part at a time, so that emptying a long queue holds up nobody.
--
-- KEYS  ready bodies leased delayed

local most = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function forget(entries)
    local ids = {}
    for at = 1, #entries do
        ids[at] = entries[at]:sub(17)
    end
    redis.call('HDEL', KEYS[2], unpack(ids))
    return #ids
end

local ended = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, most)
if #ended > 0 then
    redis.call('ZREM', KEYS[3], unpack(ended))
    return forget(ended)
end
local later = redis.call('ZRANGE', KEYS[4], 0, most - 1)
if #later > 0 then
    redis.call('ZREM', KEYS[4], unpack(later))
    return forget(later)
end
local ready = redis.call('LPOP', KEYS[1], most)
return ready and forget(ready) or 0
