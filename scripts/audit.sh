#!/bin/sh
# Check requirements.txt for known vulnerabilities. If the vulnerability database is unreachable, print a warning and succeed.
set -eu
bin=$1
found=$(mktemp)
trap 'rm -f "$found"' EXIT

if [ ! -x "$bin/pip-audit" ]; then
    echo "pip-audit is not installed: dependencies were not audited"
    exit 0
fi
if timeout 120 "$bin/pip-audit" --requirement requirements.txt --disable-pip --require-hashes --strict --timeout 10 \
    --progress-spinner off --format columns --output "$found" 2>/dev/null; then
    echo "pip-audit found no known vulnerability in requirements.txt"
elif [ -s "$found" ]; then
    cat "$found"
    exit 1
else
    echo "pip-audit could not check every package: dependencies were not audited"
fi
