#!/bin/sh
# Install Chromium and a Chinese font for the browser tests.
set -eu
command -v chromium >/dev/null && fc-list :lang=zh 2>/dev/null | grep -q . && exit 0
install="apt-get update && apt-get install -y --no-install-recommends chromium fontconfig fonts-noto-cjk"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Without a browser, the browser tests are skipped. Run as root:  $install" >&2
    exit 0
fi
echo "Installing Chromium for the browser tests ..."
sh -c "$install" >/dev/null || echo "The installation failed: the browser tests are skipped." >&2
