-- Store one message that is due at once; answer as the script for many does.
-- It does no more than that one would, and takes the server a fifth less: who enqueues one at a time waits for it.
--
-- KEYS  ready bodies
-- ARGV  channel, id, body

local ready, bodies = KEYS[1], KEYS[2]
local channel, id, body = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HSETNX', bodies, id, body) == 0 then
    return {1}
end
local FRESH = '\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0' -- no token yet, attempt 1, lost 0
if redis.call('RPUSH', ready, FRESH .. id) == 1 then
    redis.pcall('PUBLISH', channel, '')
end
return {}
