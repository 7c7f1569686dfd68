#!/bin/sh
# Create the virtual environment $1 and install the pinned requirements. Checks Python and system packages first.
set -eu
venv=$1

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is required; \"$python\" is $("$python" --version). Set PYTHON=/path/to/python3.11." >&2
    exit 1
}

missing=""
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
# PaddleOCR's OpenCV needs these two libraries, which a minimal Debian lacks.
/sbin/ldconfig -p | grep -q 'libGL\.so\.1' || missing="$missing libgl1"
/sbin/ldconfig -p | grep -q 'libglib-2\.0\.so\.0' || missing="$missing libglib2.0-0"
if [ -n "$missing" ]; then
    install="apt-get update && apt-get install -y$missing"
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "System packages are missing. Run as root:  $install" >&2
        exit 1
    fi
    echo "Installing system packages:$missing"
    sh -c "$install" >/dev/null
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing Python packages into $venv (about 1 GB; a minute or two) ..."
: >"$venv/pip.log"
"$venv/bin/pip" install --disable-pip-version-check -r requirements.txt >"$venv/pip.log" 2>&1 &
pip=$!
trap 'kill $pip 2>/dev/null; exit 130' INT TERM
while kill -0 $pip 2>/dev/null; do
    step=$(grep -E '^(Collecting|Installing)' "$venv/pip.log" | tail -n 1 | cut -c 1-70) || true
    [ -t 1 ] && printf '\r\033[K  %s' "$step"
    sleep 1
done
[ -t 1 ] && printf '\r\033[K'
wait $pip || { tail -n 20 "$venv/pip.log" >&2; exit 1; }
