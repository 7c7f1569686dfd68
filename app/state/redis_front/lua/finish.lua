#!lua
-- Close a request that was admitted, and put its record on the stream. Repeated calls do no harm.
local OPEN, HELD, QUOTA, STREAM, RECOGNISED = unpack(KEYS)
local member, request_id, charged, entry = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local only_if_open = ARGV[5] == '1' -- the request may never have been admitted, or may have been closed as lost
local period_expires_ms = tonumber(ARGV[6]) -- nil: never
local answer_lost_ms = ARGV[7]

if redis.call('ZREM', OPEN, member) == 0 then
    if only_if_open or redis.call('SISMEMBER', HELD, request_id) == 1 then
        return 0 -- never admitted, or closed before
    end
    redis.call('HINCRBY', QUOTA, 'changes', 1) -- makes a count of this user's rows that is under way void
end
redis.call(charged and 'SADD' or 'SREM', HELD, request_id)
if charged then
    redis.call('SET', RECOGNISED, '', 'PX', answer_lost_ms)
end
redis.call('XADD', STREAM, '*', 'entry', entry)
if period_expires_ms then
    redis.call('PEXPIREAT', HELD, period_expires_ms)
    redis.call('PEXPIREAT', QUOTA, period_expires_ms)
end
return 1
