-- Let leases of one queue end later, or sooner; answer the places (from 1) of those that were no longer ours.
--
-- KEYS  leased
-- ARGV  lease in microseconds, then the entries

local time = redis.call('TIME')
local ends = time[1] * 1000000 + time[2] + tonumber(ARGV[1]) + 1
local refused = {}
for at = 2, #ARGV do
    -- Not ZSCORE: a full Redis refuses a script whose first write needs memory.
    if redis.call('ZREM', KEYS[1], ARGV[at]) == 1 then
        redis.call('ZADD', KEYS[1], ends, ARGV[at])
    else
        refused[#refused + 1] = at - 1
    end
end
return refused
