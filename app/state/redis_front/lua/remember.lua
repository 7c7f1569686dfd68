#!lua
-- Cache a user as read from the database, unless any user was changed since the reader asked for the version.
local ACCOUNTS, VERSION = unpack(KEYS)
local username, version, account = ARGV[1], ARGV[2], ARGV[3]

if (redis.call('GET', VERSION) or '0') ~= version then
    return 0
end
redis.call('HSET', ACCOUNTS, username, account)
return 1
