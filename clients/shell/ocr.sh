#!/bin/sh
# Read the text of a picture with the OCR service, and print the response as JSON. Needs curl and openssl.
#
#   ocr.sh FILE|URL [NAME=VALUE ...]     e.g.  ocr.sh receipt.jpg charset=digits orient=true
#   ocr.sh --sign NAME=VALUE ...         print the string to sign and the signature of these fields
#
# Environment: OCR_USER, OCR_SECRET, and OCR_URL (URL of the service). Exit status: 0 if the picture was read, 1 if not
# (see the response), 2 for wrong usage, 3 if there is no response: the picture may have been read and charged.
set -eu
export LC_ALL=C

tries=5
# Temporary errors: rate_limited, busy, dependency_unavailable. quota_exhausted is not one: it may last a month.
come_back='"status_code": *(12|17|18)[^0-9]'

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0" >&2
    exit 2
}

die() {
    echo "ocr.sh: $1" >&2
    exit 2
}

encode() { # percent-encode $1, except A-Z a-z 0-9 - . _ ~
    printf %s "$1" | od -An -v -tu1 | awk '{
        for (i = 1; i <= NF; i++) {
            byte = sprintf("%c", $i + 0)
            printf "%s", (byte ~ /[A-Za-z0-9._~-]/) ? byte : sprintf("%%%02X", $i)
        }
    }'
}

string_to_sign() { # of the arguments NAME=VALUE
    for field; do
        case $field in sign=* | picture_base64=*) continue ;; esac
        printf '%s=%s\n' "$(encode "${field%%=*}")" "$(encode "${field#*=}")"
    done | sort -t= -k1,1 | paste -sd'&' - | tr -d '\n'
}

# HMAC-SHA256 with the key in OCR_SECRET, implemented from RFC 2104: openssl accepts a key only as an argument, which
# the list of processes shows. printf is built into the shell and starts no process.
hmac() { # of $1
    if [ ${#OCR_SECRET} -gt 64 ]; then
        key=$(printf %s "$OCR_SECRET" | openssl dgst -sha256 -binary | od -An -v -tu1)
    else
        key=$(printf %s "$OCR_SECRET" | od -An -v -tu1)
    fi
    { pad 92; { pad 54; printf %s "$1"; } | openssl dgst -sha256 -binary; } | openssl dgst -sha256 -r | cut -d' ' -f1
}

pad() { # the 64 bytes of the key, each xor $1
    at=0
    for byte in $key; do
        octal $((byte ^ $1))
        at=$((at + 1))
    done
    while [ $at -lt 64 ]; do
        octal "$1"
        at=$((at + 1))
    done
}

octal() { # the byte $1 itself
    # shellcheck disable=SC2059
    printf "\\$(($1 / 64))$(($1 / 8 % 8))$(($1 % 8))"
}

[ $# -gt 0 ] || usage
[ -n "${OCR_SECRET:-}" ] || die "OCR_SECRET is not set"
if [ "$1" = --sign ]; then
    shift
    string_to_sign "$@"
    printf '\n%s\n' "$(hmac "$(string_to_sign "$@")")"
    exit
fi
[ -n "${OCR_USER:-}" ] || die "OCR_USER is not set"

picture=$1
shift
case $picture in
-*) usage ;;
http://* | https://*)
    file=/dev/null
    set -- "$@" "picture_url=$picture"
    ;;
*)
    file=$picture
    [ -f "$file" ] && [ -r "$file" ] || die "$file is no file that can be read"
    set -- "$@" "picture_sha256=$(openssl dgst -sha256 -r <"$file" | cut -d' ' -f1)"
    ;;
esac

answer=$(mktemp -d)
trap 'rm -rf "$answer"' EXIT
trap 'exit 130' INT TERM

send() { # sign and send the fields NAME=VALUE; the file goes through standard input, so that any file name works
    set -- "username=$OCR_USER" "timestamp=$(date +%s)" "nonce=$(openssl rand -hex 12)" "$@"
    set -- "$@" "sign=$(hmac "$(string_to_sign "$@")")"
    for field; do
        set -- "$@" --form-string "$field"
        shift
    done
    [ "$file" = /dev/null ] || set -- "$@" -F 'image=@-'
    curl -sS --max-time 75 -o "$answer/body" -D "$answer/head" -w '%{http_code}' "$@" \
        "${OCR_URL:-http://127.0.0.1:8081/ocr}" <"$file"
}

while :; do
    : >"$answer/body"
    status=$(send "$@") || exit 3
    wait_s=$(tr -d '\r' <"$answer/head" | sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\)$/\1/p')
    tries=$((tries - 1))
    if [ -z "$wait_s" ] || [ $tries -eq 0 ] || ! grep -Eq "$come_back" "$answer/body"; then break; fi
    sleep "$wait_s"
done
cat "$answer/body"
[ "$status" = 200 ]
