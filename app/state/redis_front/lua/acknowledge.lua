#!lua
-- Remove an entry from the stream after it was stored in the database, or refused by it.
local STREAM, HELD, QUOTA, DEAD = unpack(KEYS)
local group, entry_id, request_id, charged = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local row = ARGV[5] -- 'new': the mover has just made it a charged row; 'known': it was one before; 'none': refused
local entry, why = ARGV[6], ARGV[7] -- for 'none'
local period_expires_ms = tonumber(ARGV[8]) -- nil: never

redis.call('XACK', STREAM, group, entry_id)
if redis.call('XDEL', STREAM, entry_id) == 0 then
    return 0 -- another mover has removed it
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
    redis.call('HDEL', QUOTA, 'rows') -- a mover that died may or may not have counted it: count the rows again
end
if period_expires_ms then
    redis.call('PEXPIREAT', HELD, period_expires_ms)
    redis.call('PEXPIREAT', QUOTA, period_expires_ms)
end
return 1
