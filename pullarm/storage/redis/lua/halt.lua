-- Halt an experiment. A stop is for good, and a rollback never takes the place of a later one.
--
-- KEYS  1 halt (string)
-- ARGV  1 'stopped:' or 'rolled_back:', a guard epoch, ':' and why
--
-- A key of a wrong type is replaced.

local function epoch(halt) return tonumber(string.match(halt, '^rolled_back:(%d+)')) end

local there = ''
if redis.call('TYPE', KEYS[1]).ok == 'string' then there = redis.call('GET', KEYS[1]) end
if there == ARGV[1] or string.match(there, '^stopped') then return end
local before, now = epoch(there), epoch(ARGV[1])
if before and now and before >= now then return end
redis.call('SET', KEYS[1], ARGV[1])
