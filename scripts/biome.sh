#!/bin/sh
# Check JavaScript and CSS with biome. npm installs it once, in the version that scripts/lint pins. Without npm
# the check is skipped, as tests are whose tools are not installed; in CI it fails.
set -eu
folder=scripts/lint
if ! command -v npm >/dev/null; then
    echo "JavaScript and CSS are not checked: npm is not installed (apt-get install npm)." >&2
    [ -z "${CI:-}" ]
    exit
fi
if ! cmp -s $folder/package-lock.json $folder/node_modules/.installed; then
    npm ci --prefix $folder --no-audit --no-fund --silent
    cp $folder/package-lock.json $folder/node_modules/.installed
fi
exec $folder/node_modules/.bin/biome lint --error-on-warnings
