#!/bin/sh
# Start the whole service on this machine under supervisord: MariaDB, Redis, the mover, two instances, Nginx. `make down` stops it.
# All processes run as one user, chosen by scripts/stack.sh.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
bin=.venv/bin
conf=deploy/supervisord.conf
address=http://127.0.0.1:$(sed -n 's/^ *listen \([0-9.:]*\).*/\1/p' deploy/nginx.conf | sed 's/.*://')

missing=""
for pair in supervisord:supervisor nginx:nginx-light mariadbd:mariadb-server redis-server:redis-server logrotate:logrotate; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    echo "Debian packages are missing. Run as root:  apt-get update && apt-get install -y$missing" >&2
    echo "(The packages' own services need not run: make up starts separate servers with their data in var/.)" >&2
    exit 1
fi
[ "$(id -u)" -ne 0 ] || exec scripts/stack.sh scripts/up.sh
me=$(id -un 2>/dev/null) || me=$(id -u)  # in a container, a user may have no name
if pid=$(supervisorctl -c $conf pid 2>/dev/null); then
    if [ "$(stat -c %u "/proc/$pid")" -ne "$(id -u)" ]; then
        echo "The stack runs as $(stat -c %U "/proc/$pid"), not as $me. Stop it first:  make down" >&2
        exit 1
    fi
    echo "The stack is already running:"
    supervisorctl -c $conf status && exit 0
    echo "A part of the stack is not running. Restart it:  make down up" >&2
    exit 1
fi
rm -f var/*.sock  # left over after a power failure; the checks below would mistake them for running servers

# Redis and the instances trust every process that opens their sockets, so only this user may enter the sockets' folders.
umask 077
if ! mkdir -p var/redis var/web1 var/web2 || ! chmod 0700 var var/web1 var/web2 || [ ! -w log ]; then
    echo "The user $me must own var/ and log/; they belong to $(stat -c %U var) and $(stat -c %U log)." >&2
    exit 1
fi
if [ ! -f var/stack.env ]; then
    echo "Generating the database password; var/stack.env contains it and all settings ..."
    password=$("$bin/python" -c 'import secrets; print(secrets.token_urlsafe(24))')
    cat >var/stack.env <<END
OCR_STATE__DATABASE_URL=mysql+pymysql://ocr:$password@localhost/ocr?unix_socket=$PWD/var/mariadb.sock
OCR_STATE__REDIS_URL=unix://$PWD/var/redis.sock
OCR_STATE__SPOOL_DIR=$PWD/var/spool
OCR_STATE__KEY_FILE=$PWD/var/secret.key
OCR_ENGINE__CRASH_DIR=$PWD/var/crashes
OCR_AUTH__FAILURES_FILE=$PWD/var/failures
END
    cat >var/mariadb.sql <<END
CREATE DATABASE IF NOT EXISTS ocr CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER IF NOT EXISTS ocr@localhost IDENTIFIED BY '$password';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, REFERENCES ON ocr.* TO ocr@localhost;
END
fi
# The database's administrator (root, or the stack's user) authenticates by the Unix socket, without a password.
admin=$me
[ "$admin" != ocr ] || admin=root  # `ocr` is the service's account in the database
if [ ! -d var/mariadb ]; then
    echo "Creating an empty database in var/mariadb ..."
    mariadb-install-db --no-defaults --datadir="$PWD/var/mariadb" --skip-test-db --auth-root-authentication-method=socket \
        --auth-root-socket-user="$admin" >log/mariadb.log 2>&1 || { tail -n 20 log/mariadb.log >&2; exit 1; }
fi
# At every start, because older releases created root accounts without a password.
cat - var/mariadb.sql >var/mariadb-init.sql <<END
ALTER USER IF EXISTS root@localhost IDENTIFIED VIA unix_socket;
CREATE USER IF NOT EXISTS '$admin'@localhost IDENTIFIED VIA unix_socket;
GRANT ALL ON *.* TO '$admin'@localhost WITH GRANT OPTION;
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
FLUSH PRIVILEGES;
END

# The two instances share the cores; each worker loads its own models.
cores=$(nproc)
WEB_CONCURRENCY=${WEB_CONCURRENCY:-$((cores / 8 > 1 ? cores / 8 : 1))}
each=$((cores / 2 / WEB_CONCURRENCY > 1 ? cores / 2 / WEB_CONCURRENCY : 1))
OCR_ENGINE__CORES=${OCR_ENGINE__CORES:-$each}
OCR_ENGINE__THREADS=${OCR_ENGINE__THREADS:-$each}
METRICS_PORT_1=${METRICS_PORT_1:-9081}
METRICS_PORT_2=${METRICS_PORT_2:-9082}
STACK=$PWD/var
MARIADBD=$(command -v mariadbd)
REDIS_SERVER=$(command -v redis-server)
NGINX_PROGRAM=$(command -v nginx)  # not NGINX, which Nginx interprets as inherited sockets
LOGROTATE=$(command -v logrotate)
sed "s#/opt/ocr/#$PWD/#g" deploy/logrotate.conf >var/logrotate.conf
export WEB_CONCURRENCY OCR_ENGINE__CORES OCR_ENGINE__THREADS METRICS_PORT_1 METRICS_PORT_2
export STACK MARIADBD REDIS_SERVER NGINX_PROGRAM LOGROTATE
set -a
# shellcheck disable=SC1091  # up.sh writes it
. var/stack.env
set +a

echo "Starting MariaDB and Redis ..."
supervisord -c $conf
left=300
until [ -S var/mariadb.sock ] && [ -S var/redis.sock ]; do
    left=$((left - 1))
    [ $left -gt 0 ] || { echo "MariaDB or Redis did not start; see log/mariadb.log and log/redis.log." >&2; exit 1; }
    sleep 0.2
done
"$bin/flask" --env-file var/stack.env db init
"$bin/flask" --env-file var/stack.env db upgrade
echo "Starting the mover, two instances and Nginx ..."
supervisorctl -c $conf start mover web1 web2 nginx logrotate >/dev/null

ready() {
    no_proxy="*" "$bin/python" - "$address/healthz" var/web1/ocr.sock var/web2/ocr.sock <<'END'
import http.client, socket, sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5)
for path in sys.argv[2:]:
    connection = http.client.HTTPConnection("instance", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request("GET", "/readyz")
    if connection.getresponse().status != 200:
        sys.exit(f"{path} is not ready")
END
}
left=120
until ready >/dev/null 2>&1; do
    left=$((left - 1))
    if [ $left -eq 0 ] || ! supervisorctl -c $conf pid >/dev/null 2>&1; then
        echo "The stack did not start. For each part that is not RUNNING, see log/NAME.log or var/NAME/log/error.log:" >&2
        supervisorctl -c $conf status >&2 || true
        exit 1
    fi
    sleep 0.5
done

cat <<END

Serving on $address  (HTTPS: make tls)

  instances   var/web1/ocr.sock, var/web2/ocr.sock; logs in var/web1/log, var/web2/log
  metrics     http://127.0.0.1:$METRICS_PORT_1/metrics, http://127.0.0.1:$METRICS_PORT_2/metrics
  database    var/mariadb.sock; data in var/mariadb, the password in var/stack.env; $admin administers it
  Redis       var/redis.sock; data in var/redis
  mover       moves usage records from Redis to the database; log in log/mover.log
  Nginx       deploy/nginx.conf; logs in log/

All parts run as $me, and so do commands after scripts/stack.sh:

  scripts/stack.sh flask users add NAME                              add a user
  scripts/stack.sh supervisorctl -c $conf status   show all parts; after an upgrade restart web1, then web2
  make down                                                          stop everything gracefully
END
