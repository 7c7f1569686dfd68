#!lua
-- Close a record that admission opened, and put it on the stream; again, or late, it does no harm.
local OPEN, HELD, QUOTA, STREAM, RECOGNISED = unpack(KEYS)
local member, request_id, charged, entry = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local only_if_open = ARGV[5] == '1' -- nobody knows whether its admission was carried out, or it was lost
local period_ends_ms = tonumber(ARGV[6]) -- nil: never
local answer_lost_ms = ARGV[7]

if redis.call('ZREM', OPEN, member) == 0 then
    if only_if_open or redis.call('SISMEMBER', HELD, request_id) == 1 then
        return 0 -- never begun, or finished before
    end
    redis.call('HINCRBY', QUOTA, 'changes', 1) -- whoever is counting this user's rows must begin again
end
redis.call(charged and 'SADD' or 'SREM', HELD, request_id)
if charged then
    redis.call('SET', RECOGNISED, '', 'PX', answer_lost_ms)
end
redis.call('XADD', STREAM, '*', 'entry', entry)
if period_ends_ms then
    redis.call('PEXPIREAT', HELD, period_ends_ms)
    redis.call('PEXPIREAT', QUOTA, period_ends_ms)
end
return 1
