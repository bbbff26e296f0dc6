-- Make dead letters ready again, with fresh counters; answer the ids that were moved.
-- HSETNX decides, as in enqueue: an id that is waiting or running keeps its letter.
--
-- KEYS  ready bodies dead letters
-- ARGV  channel, then the ids

local FRESH = '\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0' -- no token yet, attempt 1, lost 0
local moved, entries = {}, {}
for at = 2, #ARGV do
    local id = ARGV[at]
    local letter = redis.call('HGET', KEYS[4], id)
    if letter then
        local body = letter:match('^[^\n]*\n[^\n]*\n(.*)$')
        if redis.call('HSETNX', KEYS[2], id, body) == 1 then
            redis.call('HDEL', KEYS[4], id)
            redis.call('ZREM', KEYS[3], id)
            moved[#moved + 1] = id
            entries[#entries + 1] = FRESH .. id
        end
    end
end
if #entries > 0 and redis.call('RPUSH', KEYS[1], unpack(entries)) == #entries then
    redis.pcall('PUBLISH', ARGV[1], '')  -- who may not is told when it listens
end
return moved
