-- How many messages a queue holds: ready, delayed, leased, dead. What is due, or was lost, counts as ready.
--
-- KEYS  ready leased delayed dead

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ended = redis.call('ZCOUNT', KEYS[2], '-inf', now)
local due = redis.call('ZCOUNT', KEYS[3], '-inf', now)
return {
    redis.call('LLEN', KEYS[1]) + ended + due,
    redis.call('ZCARD', KEYS[3]) - due,
    redis.call('ZCARD', KEYS[2]) - ended,
    redis.call('ZCARD', KEYS[4]),
}
