#!/bin/sh
# Enable HTTPS for testing: create a self-signed certificate in var/tls, and copy deploy/nginx/tls.conf there.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" -ne 0 ] || exec scripts/stack.sh scripts/tls.sh "$@"  # Nginx has to read the key
name=${1:-localhost}
mkdir -p var/tls
if [ -f var/tls/cert.pem ]; then
    echo "Keeping the existing var/tls/cert.pem."
else
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
        -subj "/CN=$name" -addext "subjectAltName=DNS:$name,IP:127.0.0.1" \
        -keyout var/tls/key.pem -out var/tls/cert.pem 2>/dev/null) || { echo "openssl could not make a certificate" >&2; exit 1; }
    echo "Created a self-signed certificate for $name in var/tls. In production, replace it by a trusted certificate."
fi
cp deploy/nginx/tls.conf var/tls/tls.conf
port=$(sed -n 's/^listen \([0-9.:]*\).*/\1/p' var/tls/tls.conf | sed 's/.*://')
if [ -s log/nginx.pid ] && kill -0 "$(cat log/nginx.pid)" 2>/dev/null; then
    kill -HUP "$(cat log/nginx.pid)"
    echo "Reloaded Nginx."
fi
echo "HTTPS is on port $port:  curl --cacert var/tls/cert.pem https://$name:$port/healthz"
