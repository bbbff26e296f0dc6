-- Delete up to ARGV[1] messages that are delayed or ready; answer how many. What a lease names stays, ended or not.
-- A part at a time, so that emptying a long queue holds up nobody.
--
-- KEYS  ready bodies delayed

local most = tonumber(ARGV[1])

local function forget(entries)
    local ids = {}
    for at = 1, #entries do
        ids[at] = entries[at]:sub(17)
    end
    redis.call('HDEL', KEYS[2], unpack(ids))
    return #ids
end

local later = redis.call('ZRANGE', KEYS[3], 0, most - 1)
if #later > 0 then
    redis.call('ZREM', KEYS[3], unpack(later))
    return forget(later)
end
local ready = redis.call('LPOP', KEYS[1], most)
return ready and forget(ready) or 0
