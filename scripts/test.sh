#!/bin/sh
# All tests: first beside each other, a file at a time in each worker, then those that hold a time to a bound.
# Usage: scripts/test.sh BIN [ARGUMENT OF PYTEST ...]
set -u
bin=$1
shift
workers=$(($(nproc) + 1)) # one more than cores, because most tests wait
[ "$workers" -le 8 ] || workers=8

none=5 # what pytest ends with where no test is chosen
"$bin/pytest" -n "$workers" --dist loadfile --no-loadscope-reorder -m "not measure and not alone" "$@"
together=$?
"$bin/pytest" -m "alone" "$@"
alone=$?

[ "$together" -eq $none ] && together=$alone
[ "$alone" -eq $none ] && alone=0
[ "$together" -eq 0 ] || exit "$together"
exit "$alone"
