#!/bin/sh
# Stop the stack that scripts/up.sh started: Nginx, then the instances, the databases last. Current requests finish.
set -eu
cd "$(dirname "$0")/.."
conf=deploy/supervisord.conf
if [ ! -x var ]; then
    echo "The stack belongs to $(stat -c %U var): run make down as that user, or as root." >&2
    exit 1
fi
if ! pid=$(supervisorctl -c $conf pid 2>/dev/null); then
    echo "The stack is not running."
    exit 0
fi
echo "Stopping ..."
supervisorctl -c $conf shutdown >/dev/null
while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
done
echo "Stopped. Users, records and logs remain in var/ and log/."
