#!/bin/sh
# Known weaknesses of what requirements.txt pins. Without a way to the database of them it says so and goes on.
set -eu
bin=$1
found=$(mktemp)
trap 'rm -f "$found"' EXIT

if [ ! -x "$bin/pip-audit" ]; then
    echo "pip-audit is not installed: dependencies are not audited"
    exit 0
fi
if timeout 120 "$bin/pip-audit" --requirement requirements.txt --disable-pip --require-hashes --strict --timeout 10 \
    --progress-spinner off --format columns --output "$found" 2>/dev/null; then
    echo "pip-audit knows of no weakness in requirements.txt"
elif [ -s "$found" ]; then
    cat "$found"
    exit 1
else
    echo "pip-audit could not ask about every package: dependencies are not audited"
fi
