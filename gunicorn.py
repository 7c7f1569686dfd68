"""Gunicorn's settings: `gunicorn --config gunicorn.py run_ocr_flask:app`.

The master reads it before gevent patches anything, so it uses only the standard library. Do not import it,
and do not put the project's root on PYTHONPATH: this file would hide the gunicorn package. Every name without
an underscore is a setting of gunicorn; the code behind them is in deploy/gunicorn_*.py.
"""

import os as _os
import re as _re
import resource as _resource
from contextlib import suppress as _suppress
from pathlib import Path as _Path
from runpy import run_path as _run_path

_root = _Path(__file__).resolve().parent
_skip = _os.environ.get("FLASK_SKIP_DOTENV", "").lower() not in ("", "0", "false", "no")
if (_root / ".env").is_file() and not _skip:  # like Flask's command line: the environment wins
    for _number, _line in enumerate((_root / ".env").read_text().splitlines(), 1):
        if not _line.strip() or _line.lstrip().startswith("#"):
            continue
        # Refuses syntax that Flask's parser would interpret, so that both read the same values.
        if not (_found := _re.fullmatch(r"(\w+)=([^\s'\"`\\$#]*)\s*", _line)):
            raise SystemExit(
                f".env, line {_number}: write NAME=value, without export, quotes, blanks, $, \\ or # in it"
            )
        _os.environ.setdefault(*_found.groups())

_home = _Path(_os.environ.get("OCR_HOME", _root)).resolve()
_cores = len(_os.sched_getaffinity(0))

# c-ares resolves on the event loop. gevent's default has ten threads: ten slow names would block DNS.
_os.environ.setdefault("GEVENT_RESOLVER", "ares")
_metrics = _Path(_os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_home / "var" / "metrics")))

for _folder in (_home / "log", _home / "var", _metrics):
    with _suppress(OSError):  # during a reload, an error would stop the master
        _folder.mkdir(parents=True, exist_ok=True)

_logs = _run_path(str(_root / "deploy" / "gunicorn_logs.py"))
_hooks = _run_path(str(_root / "deploy" / "gunicorn_hooks.py"))

bind = _os.environ.get("OCR_BIND", "127.0.0.1:8081")
protocol = _os.environ.get("OCR_PROTOCOL", "http")  # or uwsgi: deploy/nginx/pass-uwsgi.conf
worker_class = "deploy.gunicorn_worker.BoundedWorker"
# Every connection needs a descriptor. The usual soft limit is 1,024, which a process may raise.
_files, _most = _resource.getrlimit(_resource.RLIMIT_NOFILE)
if _files < 4096:
    _files = 4096 if _most == _resource.RLIM_INFINITY else min(4096, _most)
    _resource.setrlimit(_resource.RLIMIT_NOFILE, (_files, _most))
# The remaining descriptors are for stores, picture hosts, models and logs.
worker_connections = max(64, min(1000, _files - 300))
# Each worker loads its own models, so there are few workers with several engine threads each.
workers = int(_os.environ.get("WEB_CONCURRENCY") or max(1, _cores // 4))
_os.environ["WEB_CONCURRENCY"] = str(workers)  # the settings divide the cores among the workers

# app/web/proxy.py alone decides which proxies to trust, by OCR_AUTH__PROXIES.
forwarded_allow_ips = ""
forwarder_headers = ""

chdir = str(_root)
# Replaced by logconfig_dict: on a full disk gunicorn's own handlers raise, which stops the master.
errorlog = None
logconfig_dict = _logs["log_config"](_home / "log", int(_os.environ.get("OCR_LOG__MAX_MB") or 100))
# Apache's combined format without referrer and query, which contains the signature of `GET /usage`.
access_log_format = '%(h)s - - %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s "-" "%(a)s"'
pidfile = _hooks["pid_file"](_home / "log" / "gunicorn.pid")
daemon = _os.environ.get("OCR_DAEMON", "false").lower() in ("1", "true", "yes")
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if _os.path.isdir("/dev/shm") else None  # noqa: S108  the heartbeat must not wait for a disk

# Model sessions must not cross a fork, and gevent must patch before the application is imported.
preload_app = False
timeout = 60
graceful_timeout = 75
keepalive = 5
# Limits slow memory leaks.
max_requests = 20_000
max_requests_jitter = 2_000

on_starting = _hooks["on_starting"]
on_reload = _hooks["on_reload"]
on_exit = _hooks["on_exit"]
child_exit = _hooks["child_exit"]
post_fork = _hooks["post_fork"]
post_worker_init = _hooks["post_worker_init"]
