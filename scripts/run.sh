#!/bin/sh
# Serve until Ctrl-C, after one signed request has shown that the service reads a picture.
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
    sys.exit(f"{sys.argv[1]} cannot be used: {error}. Another address: OCR_BIND=127.0.0.1:9000 make run")
END

if [ "$(id -u)" -eq 0 ]; then
    echo "This serves as root, for a first look. To serve others: make up, which runs as an account of its own."
fi
"$bin/flask" users add demo --if-missing

echo "Starting gunicorn on http://$OCR_BIND ..."
# In a session of its own: Ctrl-C is for this script, which then stops gunicorn gracefully.
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
        echo "The server did not start. The end of $log:" >&2
        tail -n 8 "$log" >&2
        exit 1
    fi
    sleep 0.2
done

echo "Sending one signed request for $sample. The text that came back:"
echo
"$bin/flask" sign $sample --user demo --send "http://$OCR_BIND/ocr" || { stop; exit 1; }

cat <<END

Still serving; Ctrl-C stops it. Open this address and read a picture of yours (it signs in as the user demo, once):

  $("$bin/flask" users link demo)

Another one:  $bin/flask users link demo --base http://$OCR_BIND

Or from a shell:

  $bin/flask sign $sample --user demo 2>/dev/null | curl -sS -H 'Content-Type: application/json' --data-binary @- http://$OCR_BIND/ocr

END
wait $server
