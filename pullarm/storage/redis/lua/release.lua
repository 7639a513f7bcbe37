-- End the halt of a rollback; a stop stands.
--
-- KEYS  1 halt (string)
-- ARGV  1 the guard epoch that has begun: what was rolled back in an earlier one goes on
--
-- Answers 1 where that changed something.

if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return 0 end
local there = redis.call('GET', KEYS[1])
if not string.match(there, '^rolled_back') then return 0 end
-- Without a number that can be read it is of no epoch, and so of an earlier one.
local epoch = tonumber(string.match(there, '^rolled_back:(%d+):')) or 0
if epoch >= tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
return 1
