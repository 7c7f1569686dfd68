#!/bin/sh
# Chromium for the tests of the pages, and a font with Chinese characters for it.
set -eu
command -v chromium >/dev/null && fc-list :lang=zh 2>/dev/null | grep -q . && exit 0
install="apt-get update && apt-get install -y --no-install-recommends chromium fontconfig fonts-noto-cjk"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "The tests of the pages are skipped without a browser. Run as root:  $install" >&2
    exit 0
fi
echo "Installing Chromium for the tests of the pages ..."
sh -c "$install" >/dev/null || echo "That failed: the tests of the pages are skipped." >&2
