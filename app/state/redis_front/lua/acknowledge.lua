#!lua
-- Take an entry that was committed to the database, or cannot be, off the stream: held no more, but a row.
local STREAM, HELD, QUOTA, DEAD = unpack(KEYS)
local group, entry_id, request_id, charged = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local row = ARGV[5] -- 'new': this write made it a charged row. 'known': it was stored before. 'none': it cannot be
local entry, why = ARGV[6], ARGV[7] -- of 'none'
local period_ends_ms = tonumber(ARGV[8]) -- nil: never

redis.call('XACK', STREAM, group, entry_id)
if redis.call('XDEL', STREAM, entry_id) == 0 then
    return 0 -- another mover was faster
end
if row == 'none' then
    redis.call('XADD', DEAD, '*', 'entry', entry, 'error', why)
end
if not charged or redis.call('SREM', HELD, request_id) == 0 then
    return 1
end
redis.call('HINCRBY', QUOTA, 'changes', 1)
if row == 'new' and redis.call('HEXISTS', QUOTA, 'rows') == 1 then
    redis.call('HINCRBY', QUOTA, 'rows', 1)
elseif row == 'known' then
    redis.call('HDEL', QUOTA, 'rows') -- counted or not before somebody died: the next admission counts anew
end
if period_ends_ms then
    redis.call('PEXPIREAT', HELD, period_ends_ms)
    redis.call('PEXPIREAT', QUOTA, period_ends_ms)
end
return 1
