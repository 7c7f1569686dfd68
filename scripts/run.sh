#!/bin/sh
# Start the service, read a sample picture with a signed request, and serve until Ctrl-C.
set -eu
[ -n "${OCR_BIND:-}" ] || OCR_BIND=$(sed -n 's/^OCR_BIND=//p' .env 2>/dev/null) || true
export OCR_BIND="${OCR_BIND:-127.0.0.1:8081}"
export OCR_DAEMON=false
bin=.venv/bin
log=${OCR_HOME:-.}/log/error.log
sample=samples/receipt.png

"$bin/python" - "$OCR_BIND" <<'END' || exit 1
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
try:
    socket.create_server((host, int(port))).close()
except OSError as error:
    sys.exit(f"Cannot listen on {sys.argv[1]}: {error}. Choose another address: OCR_BIND=127.0.0.1:9000 make run")
END

if [ "$(id -u)" -eq 0 ]; then
    echo "The service runs as root, which is only for a first look. In production use make up, which uses its own account."
fi
"$bin/flask" users add demo --if-missing

echo "Starting gunicorn on http://$OCR_BIND ..."
# In its own session, so that Ctrl-C only reaches this script, which then stops gunicorn gracefully.
setsid "$bin/gunicorn" --config gunicorn.py run_ocr_flask:app &
server=$!
stop() {
    kill -TERM $server 2>/dev/null || true
    wait $server 2>/dev/null || true
}
trap 'trap "" INT TERM; echo; echo "Stopping ..."; stop; exit 0' INT TERM HUP

ready="import urllib.request; urllib.request.urlopen('http://$OCR_BIND/readyz', timeout=5)"
until no_proxy="*" "$bin/python" -c "$ready" 2>/dev/null; do
    if ! kill -0 $server 2>/dev/null; then
        echo "The server did not start. Last lines of $log:" >&2
        tail -n 8 "$log" >&2
        exit 1
    fi
    sleep 0.2
done

echo "Sending a signed request for $sample. Recognised text:"
echo
"$bin/flask" sign $sample --user demo --send "http://$OCR_BIND/ocr" || { stop; exit 1; }

cat <<END

The service is running; Ctrl-C stops it. Open this one-time link to read your own pictures as the user demo:

  $("$bin/flask" users link demo)

Create another link:  $bin/flask users link demo --base http://$OCR_BIND

Read a picture from a shell:

  $bin/flask sign $sample --user demo 2>/dev/null | curl -sS -H 'Content-Type: application/json' --data-binary @- http://$OCR_BIND/ocr

END
wait $server
