#!lua
-- Admit a request or refuse it, in one step: nonce, then rate, then quota. A refusal changes nothing.
-- Returns names and values in turn: those of Decision in admission_script.py.
local EPOCH, NONCE, RATE, QUOTA, HELD, OPEN, RECOGNISED = unpack(KEYS)
local request = cjson.decode(ARGV[1]) -- AdmissionRequest in admission_script.py, without what is None

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

local function answer(outcome, ...)
    return { 'outcome', outcome, 'now_ms', now_ms, ... }
end

if now_ms > request.deadline_ms then
    return answer('too_late') -- the caller no longer waits for the answer
end

-- An emptied Redis has lost its nonces: refuse what may have been signed before.
local opens_ms = redis.call('HGET', EPOCH, 'opens_ms')
if not opens_ms then
    return answer('no_epoch')
end
local signed_ms = request.signed_ms
if (signed_ms or now_ms - request.nonce_ttl_ms) < tonumber(opens_ms) then
    return answer('before_epoch', 'wait_ms', opens_ms - now_ms + (signed_ms and 0 or request.nonce_ttl_ms))
end

local request_id, member = request.request_id, request.member
local spent_by = redis.call('GET', NONCE)
if spent_by and spent_by ~= request_id then
    return answer('replayed', 'spent_by', spent_by)
end
local started_ms = redis.call('ZSCORE', OPEN, member) -- false unless the request runs
if spent_by and not started_ms and redis.call('EXISTS', RECOGNISED) == 0 then -- not a retry of our own proxy
    return answer('replayed', 'spent_by', spent_by)
end
if not spent_by and (started_ms or redis.call('SISMEMBER', HELD, request_id) == 1) then
    return answer('replayed', 'spent_by', request_id) -- the id belongs to a request with another nonce
end
started_ms = tonumber(started_ms or request.started_ms)

local remaining = false -- without limit
if request.quota_limit then
    local rows = redis.call('HGET', QUOTA, 'rows')
    if not rows then
        return answer('rows_unknown')
    end
    remaining = request.quota_limit - tonumber(rows) - redis.call('SCARD', HELD)
end
if spent_by then -- our own proxy's retry: already admitted and charged
    return answer('admitted', 'started_ms', started_ms, 'remaining', remaining and math.max(remaining, 0))
end

-- The generic cell rate algorithm, as in app/limits/rate.py.
local arrival_us = tonumber(redis.call('GET', RATE) or 0)
arrival_us = math.max(now_us, math.min(arrival_us, now_us + request.tolerance_us)) + request.interval_us
local wait_us = arrival_us - request.tolerance_us - now_us
if wait_us > 0 then
    return answer('rate_limited', 'wait_ms', math.ceil(wait_us / 1000))
end
if remaining and remaining < 1 then
    return answer('quota_exhausted')
end

redis.call('SET', NONCE, request_id, 'PX', request.nonce_ttl_ms)
redis.call('SET', RATE, string.format('%.0f', arrival_us), 'PX', math.ceil((arrival_us - now_us) / 1000))
redis.call('SADD', HELD, request_id)
redis.call('ZADD', OPEN, started_ms, member)
if request.period_expires_ms then
    redis.call('PEXPIREAT', HELD, request.period_expires_ms)
end
return answer('admitted', 'started_ms', started_ms, 'remaining', remaining and remaining - 1)
