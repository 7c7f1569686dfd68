#!lua
-- Start the life of an empty Redis, once. Requests signed before opens_ms are refused.
local EPOCH = KEYS[1]
local id, guard_ms = ARGV[1], tonumber(ARGV[2])

if redis.call('HEXISTS', EPOCH, 'id') == 1 then
    return 0
end
local opens_ms = guard_ms == 0 and 0 or redis.call('TIME')[1] * 1000 + 1000 + guard_ms
redis.call('HSET', EPOCH, 'id', id, 'opens_ms', string.format('%.0f', opens_ms))
return 1
