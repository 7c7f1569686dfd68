#!lua
-- Admit a request or refuse it, in one step: nonce, then rate, then quota. A refusal changes nothing.
-- Every answer begins with its name and Redis's time in milliseconds.
local EPOCH, NONCE, RATE, QUOTA, HELD, OPEN, RECOGNISED = unpack(KEYS)
local deadline_ms = tonumber(ARGV[1]) -- on Redis's clock: nobody waits for an answer after it
local signed_ms = tonumber(ARGV[2]) -- nil: at any time since a nonce of its kind is kept
local request_id = ARGV[3]
local nonce_ttl_ms = tonumber(ARGV[4])
local interval_us, tolerance_us = tonumber(ARGV[5]), tonumber(ARGV[6])
local limit = tonumber(ARGV[7]) -- nil: without limit
local member, started_ms = ARGV[8], ARGV[9] -- in OPEN
local period_ends_ms = tonumber(ARGV[10]) -- nil: never

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
if now_ms > deadline_ms then
    return { 'late', now_ms }
end

-- The nonces of an earlier life of this Redis are lost: what may have been signed in it is not let in.
local opens_ms = redis.call('HGET', EPOCH, 'opens_ms')
if not opens_ms then
    return { 'no epoch', now_ms }
end
if (signed_ms or now_ms - nonce_ttl_ms) < tonumber(opens_ms) then
    return { 'before epoch', now_ms, opens_ms - now_ms + (signed_ms and 0 or nonce_ttl_ms) }
end

local left = false
local spent_by = redis.call('GET', NONCE)
if spent_by and spent_by ~= request_id then
    return { 'replayed', now_ms, spent_by }
end
local runs_since = redis.call('ZSCORE', OPEN, member)
if spent_by and not runs_since and redis.call('EXISTS', RECOGNISED) == 0 then -- we would not send it again
    return { 'replayed', now_ms, spent_by }
end
if not spent_by and (runs_since or redis.call('SISMEMBER', HELD, request_id) == 1) then
    return { 'replayed', now_ms, request_id } -- its record is that of another nonce
end
if limit then
    local rows = redis.call('HGET', QUOTA, 'rows')
    if not rows then
        return { 'no count', now_ms }
    end
    left = limit - tonumber(rows) - redis.call('SCARD', HELD)
end
if spent_by then -- our own retry: admitted, and charged, already
    return { 'admitted', now_ms, left and math.max(left, 0), runs_since or started_ms }
end

-- The generic cell rate algorithm, as in rate.py.
local arrival_us = tonumber(redis.call('GET', RATE) or 0)
arrival_us = math.max(now_us, math.min(arrival_us, now_us + tolerance_us)) + interval_us
local wait_us = arrival_us - tolerance_us - now_us
if wait_us > 0 then
    return { 'too fast', now_ms, math.ceil(wait_us / 1000000) }
end
if left and left < 1 then
    return { 'nothing left', now_ms }
end

redis.call('SET', NONCE, request_id, 'PX', nonce_ttl_ms)
redis.call('SET', RATE, string.format('%.0f', arrival_us), 'PX', math.ceil((arrival_us - now_us) / 1000))
redis.call('SADD', HELD, request_id)
redis.call('ZADD', OPEN, started_ms, member)
if period_ends_ms then
    redis.call('PEXPIREAT', HELD, period_ends_ms)
end
return { 'admitted', now_ms, left and left - 1, started_ms }
