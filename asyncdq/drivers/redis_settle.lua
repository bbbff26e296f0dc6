-- Write outcomes of deliveries of one queue; answer the places (from 1) of those that were no longer ours.
-- A delivery is ours as long as its entry, with the token of its claim, is in the sorted set of leases.
-- Each begins with ZREM, which needs no memory: a full Redis still takes outcomes.
--
-- KEYS  ready bodies leased delayed dead letters
-- ARGV  channel, look_again, number of done, of moved, then
--       each done:    entry
--       each moved:   entry, entry from now on, delay, 1 if it goes to the front     (times in microseconds)
--       each buried:  entry, what the letter says about it

local ready, bodies, leased, delayed, dead, letters = unpack(KEYS)
local done, moved = tonumber(ARGV[3]), tonumber(ARGV[4])
local refused, place, at = {}, 0, 5

local function ours(entry)
    place = place + 1
    if redis.call('ZREM', leased, entry) == 1 then
        return true
    end
    refused[#refused + 1] = place
    return false
end

local finished = {}
for _ = 1, done do
    if ours(ARGV[at]) then
        finished[#finished + 1] = ARGV[at]:sub(17)
    end
    at = at + 1
end
if #finished > 0 then
    redis.call('HDEL', bodies, unpack(finished))
end
if at > #ARGV then
    return refused
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
local front, back, soonest = {}, {}, nil

for _ = 1, moved do
    if ours(ARGV[at]) then
        local delay = tonumber(ARGV[at + 2])
        if delay > 0 then
            local due = now + delay + 1
            redis.call('ZADD', delayed, due, ARGV[at + 1])
            soonest = math.min(soonest or due, due)
        elseif ARGV[at + 3] == '1' then
            table.insert(front, 1, ARGV[at + 1]) -- LPUSH turns the order round
        else
            back[#back + 1] = ARGV[at + 1]
        end
    end
    at = at + 4
end
while at < #ARGV do
    local id = ARGV[at]:sub(17)
    if ours(ARGV[at]) then
        local body = redis.call('HGET', bodies, id) or ''
        redis.call('HDEL', bodies, id)
        redis.call('HSET', letters, id, string.format('%.0f', now) .. '\n' .. ARGV[at + 1] .. '\n' .. body)
        redis.call('ZADD', dead, now, id)
    end
    at = at + 2
end

local length = 0
if #front > 0 then
    length = redis.call('LPUSH', ready, unpack(front))
end
if #back > 0 then
    length = redis.call('RPUSH', ready, unpack(back))
end
local sooner = soonest and soonest - now < tonumber(ARGV[2]) and (not first or soonest < tonumber(first))
if sooner or (length > 0 and length == #front + #back) then
    redis.pcall('PUBLISH', ARGV[1], '')  -- who may not is told when it listens
end
return refused
