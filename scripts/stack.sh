#!/bin/sh
# Run a command as the user of the stack of `make up`, with its settings:  scripts/stack.sh flask users list
#
# No part of the stack runs as root. Called by root, the script runs the command as the system account STACK_USER (default
# `ocr`, created if missing), which owns var/ and log/ and can read the code. Otherwise it runs it as the calling user.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

own_state() {
    if ! id -u "$user" >/dev/null 2>&1; then
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
        echo "Created the system account $user, which runs the stack (STACK_USER selects another account)." >&2
    fi
    if [ "$(id -u "$user")" -eq 0 ]; then
        echo "STACK_USER=$user is root: choose an unprivileged account." >&2
        exit 1
    fi
    # The account may have created symbolic links in both folders, which root must not follow: `chown -R -H` would follow a
    # link to /etc/shadow. -execdir enters each folder, so no path can change between find and chown. It refuses a PATH
    # with a relative folder.
    PATH=/usr/bin:/bin find var/. log/. ! -user "$user" \( -type d -o -links 1 \) -execdir chown -h "$user:" {} +
    chmod 0700 var
}

# Let the group of the stack's user read only the code and .env, which root may have created with a strict umask.
share_code() {
    if [ -n "$(find .env ! -user "$user" ! -perm -004 2>/dev/null)" ] && [ "$(id -gn "$user")" != "$user" ]; then
        echo "The user $user cannot read .env, and its group may have other members: put the settings into var/stack.env." >&2
        exit 1
    fi
    for part in . .env .flaskenv gunicorn.py run_ocr_flask.py app config deploy samples scripts models .venv; do
        [ -e "$part" ] || continue
        [ "$part" != . ] && depth="" || depth="-maxdepth 0"
        # shellcheck disable=SC2086  # intentionally split: two words or none
        find "$part" $depth ! -path deploy/.env ! -type l \( ! -perm -004 -o -type d ! -perm -005 \) \
            -exec chgrp "$(id -g "$user")" {} + -exec chmod g+rX {} +
    done
}

# Print the folders that a server needs, one per line: the checkout, the targets of its links, and Python's folders.
needed() {
    printf '%s\n' "$PWD"
    for link in .venv models var log; do
        [ ! -e "$link" ] || readlink -f "$link"
    done
    link=.venv/bin/python
    [ -x $link ] || return 0
    $link -I -c 'import os, sys; print(sys.base_prefix, os.path.realpath(sys.base_prefix), sep="\n")'
    while [ -L "$link" ]; do  # every link on the way to the interpreter
        target=$(readlink "$link")
        case $target in
            /*) link=$target; dirname "$(dirname "$link")" ;;
            *) link=$(dirname "$link")/$target ;;
        esac
    done
}

as_user() {
    setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --no-new-privs -- "$@"
}

can_read() {
    as_user test -r "$1" -a -x "$1"
}

unreachable() {
    for folder in $folders; do
        can_read "$folder" || { echo "$folder"; break; }
    done
}

# Print the topmost folder on the path of $1 that the user cannot enter.
closed_above() {
    case $1 in
        /) return ;;
        *) above=$(closed_above "$(dirname "$1")") ;;
    esac
    if [ -n "$above" ]; then
        echo "$above"
    elif ! as_user test -x "$1"; then
        echo "$1"
    fi
}

# In a private mount namespace, replace an inaccessible folder such as /root by an empty one that contains, at their original
# paths, only the folders that the servers need. It copies nothing and does not change anything outside.
uncover() {
    while closed=$(unreachable) && [ -n "$closed" ]; do
        above=$(closed_above "$closed")
        [ -n "$above" ] && [ "$above" != "$closed" ] || break  # the mode of the folder itself denies access
        stage=$(mktemp -d /tmp/stack.XXXXXX)
        mount -t tmpfs -o mode=0755,size=1m stack "$stage"
        for folder in $folders; do
            inside=${folder#"$above"/}
            if [ "$inside" != "$folder" ]; then
                (umask 022 && mkdir -p "$stage/$inside")
                mount --rbind "$folder" "$stage/$inside"
            fi
        done
        mount --move "$stage" "$above"
        rmdir "$stage"
        cd "$PWD"
    done
}

if [ "$(id -u)" -eq 0 ]; then
    set -f  # the list of folders is split at line ends, without pathname expansion
    user=${STACK_USER:-ocr}
    if [ -z "${STACK_UNCOVERED:-}" ]; then
        own_state
        share_code
    fi
    folders=$(needed | sort -u)
    IFS='
'
    if [ -n "${STACK_UNCOVERED:-}" ]; then
        uncover
    elif [ -n "$(unreachable)" ] && unshare --mount true 2>/dev/null; then
        STACK_UNCOVERED=yes exec unshare --mount --propagation slave "$PWD/scripts/stack.sh" "$@"
    fi
    closed=$(unreachable)
    if [ -n "$closed" ]; then
        above=$(closed_above "$closed")
        echo "The user $user cannot read ${above:-$closed}, and the servers must not run as root." >&2
        echo "Move the checkout to a folder that everybody may enter, such as /opt, or make that folder accessible." >&2
        exit 1
    fi
    unset STACK_UNCOVERED TMPDIR
    export HOME="$PWD/var" USER="$user" LOGNAME="$user"
    exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --no-new-privs -- "$PWD/scripts/stack.sh" "$@"
fi

PATH=$PWD/.venv/bin:$PATH
umask 077
if [ -f var/stack.env ]; then
    set -a
    # shellcheck disable=SC1091  # up.sh writes it
    . var/stack.env
    set +a
fi
exec "$@"
