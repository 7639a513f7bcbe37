-- Post one publication of one experiment, whole or not at all.
--
-- KEYS  1 head (hash)   2 config (string)   3 grid (string)   4.. posterior of policies 1.. (string)
-- ARGV  1 'complete' or 'difference'   2 incarnation   3 previous pub_no   4 pub_no   5 head blob
--       6 config, or '' to keep it     7 grid, or '' to keep it            8 bytes a posterior has
--       9.. one for each posterior: its bytes when complete, else patches of 4 bytes row and 16 bytes value
--
-- A difference applies to exactly the publication it was made from, and only to vectors that are as long as that left
-- them. Answers 1 when posted, 0 when a complete one is needed. A complete one replaces keys of a wrong type.

local function is(key, kind)
    return redis.call('TYPE', key).ok == kind
end

if not is(KEYS[1], 'hash') then redis.call('DEL', KEYS[1]) end
local incarnation, pub_no, arms = unpack(redis.call('HMGET', KEYS[1], 'incarnation', 'pub_no', 'arms'))
local same = incarnation == ARGV[2]
local complete = ARGV[1] == 'complete'
local size = tonumber(ARGV[8])

if complete then
    local there = same and tonumber(pub_no)
    if there and there >= tonumber(ARGV[4]) then return 1 end
else
    if not (same and arms and tonumber(pub_no) == tonumber(ARGV[3])) then return 0 end
    for i = 4, #KEYS do
        if not is(KEYS[i], 'string') then return 0 end
        if redis.call('STRLEN', KEYS[i]) ~= tonumber(arms) * 16 then return 0 end
    end
end

if ARGV[6] ~= '' then redis.call('SET', KEYS[2], ARGV[6]) end
if ARGV[7] ~= '' then
    redis.call('SET', KEYS[3], ARGV[7])
elseif complete then
    redis.call('DEL', KEYS[3])
end

for i = 4, #KEYS do
    local bytes = ARGV[i + 5]
    if complete then
        redis.call('SET', KEYS[i], bytes)
    else
        if redis.call('STRLEN', KEYS[i]) < size then redis.call('SETRANGE', KEYS[i], size - 1, '\0') end
        for at = 1, #bytes, 20 do
            local row = struct.unpack('<I4', bytes, at)
            redis.call('SETRANGE', KEYS[i], row * 16, string.sub(bytes, at + 4, at + 19))
        end
    end
end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[2], 'pub_no', ARGV[4], 'arms', size / 16, 'blob', ARGV[5])
return 1
