#!lua
-- Store how many charged rows a user has, unless they changed while they were counted.
local EPOCH, QUOTA = unpack(KEYS)
local epoch, changes, rows, period_expires_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

if redis.call('HGET', EPOCH, 'id') ~= epoch or (redis.call('HGET', QUOTA, 'changes') or '0') ~= changes then
    return 0
end
redis.call('HSETNX', QUOTA, 'rows', rows)
if period_expires_ms then
    redis.call('PEXPIREAT', QUOTA, period_expires_ms)
end
return 1
