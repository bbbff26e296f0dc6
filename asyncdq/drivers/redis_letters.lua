-- A page of dead letters, the oldest first: for each its id and its letter, one after the other.
--
-- KEYS  dead letters
-- ARGV  limit, the id that the page begins behind (from the first if there is none of it)

local rank = redis.call('ZRANK', KEYS[1], ARGV[2])
local start = rank and rank + 1 or 0
local page = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], start, start + tonumber(ARGV[1]) - 1)) do
    page[#page + 1] = id
    page[#page + 1] = redis.call('HGET', KEYS[2], id) or '0\n["","","",0]\n'
end
return page
