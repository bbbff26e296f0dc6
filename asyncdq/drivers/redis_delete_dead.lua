-- Forget dead letters; answer the ids that were there.
--
-- KEYS  dead letters
-- ARGV  the ids

local gone = {}
for _, id in ipairs(ARGV) do
    redis.call('ZREM', KEYS[1], id)
    if redis.call('HDEL', KEYS[2], id) == 1 then
        gone[#gone + 1] = id
    end
end
return gone
