#!/bin/sh
# Run all tests: most of them in parallel, distributed by file, then those that need the machine for themselves.
# Usage: scripts/test.sh BIN [PYTEST ARGUMENT ...]
set -u
bin=$1
shift
workers=$(($(nproc) + 1)) # more workers than cores, because most tests wait
[ "$workers" -le 8 ] || workers=8

none=5 # pytest's exit status if no test is selected
"$bin/pytest" -n "$workers" --dist loadfile --no-loadscope-reorder -m "not measure and not alone" "$@"
together=$?
"$bin/pytest" -m "alone" "$@"
alone=$?

[ "$together" -eq $none ] && together=$alone
[ "$alone" -eq $none ] && alone=0
[ "$together" -eq 0 ] || exit "$together"
exit "$alone"
