-- Say that a process lives, at the server's own time, and forget those that have been silent for long.
--
-- KEYS  1 instances (hash)
-- ARGV  1 identity   2 what it says of itself   3 milliseconds after which a silent one is forgotten
--
-- A value is the time in milliseconds, ':' and what was said. A key of a wrong type is replaced.

if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found, 2 do
    local said = tonumber(string.match(found[i + 1], '^(%d+):'))
    if not said or said < now - tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], found[i]) end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ':' .. ARGV[2])
