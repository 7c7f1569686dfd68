#!/bin/sh
# Serve until Ctrl-C, after one signed request has shown that the service reads a picture.
set -eu
export OCR_BIND="${OCR_BIND:-127.0.0.1:8081}"
export OCR_DAEMON=false
bin=.venv/bin
sample=samples/receipt.png

$bin/flask users add demo --if-missing

echo "Starting gunicorn on http://$OCR_BIND ..."
$bin/gunicorn --config gunicorn.py run_ocr_flask:app &
server=$!
trap 'kill -TERM $server 2>/dev/null; wait $server 2>/dev/null; exit 0' INT TERM

$bin/flask sign $sample --user demo --send "http://$OCR_BIND/ocr" --wait $server || {
    kill -TERM $server 2>/dev/null || true
    wait $server 2>/dev/null || true
    echo "The service did not answer. The end of log/error.log:" >&2
    tail -n 5 log/error.log >&2
    exit 1
}

cat <<END

Read another picture while this keeps serving (Ctrl-C stops it):

  $bin/flask sign FILE_OR_URL --user demo | curl -sS -H 'Content-Type: application/json' --data-binary @- http://$OCR_BIND/ocr

END
wait $server
