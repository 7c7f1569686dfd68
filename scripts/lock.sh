#!/bin/sh
# Pin the direct requirements and their dependencies, with hashes.
set -eu
for name in requirements requirements-dev; do
    .venv/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header \
        --output-file "$name.txt" "$name.in"
done
