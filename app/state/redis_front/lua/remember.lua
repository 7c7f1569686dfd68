#!lua
-- Keep a user as read from the database, unless users were changed while it was read.
local ACCOUNTS, VERSION = unpack(KEYS)
local username, version, account = ARGV[1], ARGV[2], ARGV[3]

if (redis.call('GET', VERSION) or '0') ~= version then
    return 0
end
redis.call('HSET', ACCOUNTS, username, account)
return 1
