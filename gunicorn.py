"""Gunicorn's settings: `gunicorn --config gunicorn.py run_ocr_flask:app`.

Read by the master before gevent patches anything, so standard library only. Never imported, and never started
with the project's root on PYTHONPATH: this file would hide the gunicorn package. Every name without an
underscore is a setting of gunicorn's; deploy/gunicorn_*.py is the code behind them.
"""

import os as _os
import re as _re
import resource as _resource
from contextlib import suppress as _suppress
from pathlib import Path as _Path
from runpy import run_path as _run_path

_root = _Path(__file__).resolve().parent
_skip = _os.environ.get("FLASK_SKIP_DOTENV", "").lower() not in ("", "0", "false", "no")
if (_root / ".env").is_file() and not _skip:  # as Flask's command line does it: the environment wins
    for _number, _line in enumerate((_root / ".env").read_text().splitlines(), 1):
        if not _line.strip() or _line.lstrip().startswith("#"):
            continue
        # What Flask would read otherwise than it stands there is refused, so that both see the same.
        if not (_found := _re.fullmatch(r"(\w+)=([^\s'\"`\\$#]*)\s*", _line)):
            raise SystemExit(
                f".env, line {_number}: write NAME=value, without export, quotes, blanks, $, \\ or # in it"
            )
        _os.environ.setdefault(*_found.groups())

_home = _Path(_os.environ.get("OCR_HOME", _root)).resolve()
_cores = len(_os.sched_getaffinity(0))

# c-ares resolves on the loop; gevent's own resolver has ten threads, so ten hanging names would stop all DNS.
_os.environ.setdefault("GEVENT_RESOLVER", "ares")
_metrics = _Path(_os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_home / "var" / "metrics")))

for _folder in (_home / "log", _home / "var", _metrics):
    with _suppress(OSError):  # at a reload that would stop the master
        _folder.mkdir(parents=True, exist_ok=True)

_logs = _run_path(str(_root / "deploy" / "gunicorn_logs.py"))
_hooks = _run_path(str(_root / "deploy" / "gunicorn_hooks.py"))

bind = _os.environ.get("OCR_BIND", "127.0.0.1:8081")
protocol = _os.environ.get("OCR_PROTOCOL", "http")  # or uwsgi: deploy/nginx/pass-uwsgi.conf
worker_class = "deploy.gunicorn_worker.BoundedWorker"
# A connection is a file. Shells and containers allow 1,024 of them, and let a process ask for more.
_files, _most = _resource.getrlimit(_resource.RLIMIT_NOFILE)
if _files < 4096:
    _files = 4096 if _most == _resource.RLIM_INFINITY else min(4096, _most)
    _resource.setrlimit(_resource.RLIMIT_NOFILE, (_files, _most))
# The others are for stores, picture hosts, models and logs.
worker_connections = max(64, min(1000, _files - 300))
# Each worker holds its own models, so there are few of them, with several engine threads each.
workers = int(_os.environ.get("WEB_CONCURRENCY") or max(1, _cores // 4))
_os.environ["WEB_CONCURRENCY"] = str(workers)  # for the settings, which share the cores out among them

# Whom to believe about addresses and schemes is app/web/proxy.py's alone to say, by OCR_AUTH__PROXIES.
forwarded_allow_ips = ""
forwarder_headers = ""

chdir = str(_root)
errorlog = None  # but logconfig_dict: a full disk makes gunicorn's own handlers raise, which stops the master
logconfig_dict = _logs["log_config"](_home / "log", int(_os.environ.get("OCR_LOG__MAX_MB") or 100))
# Apache's combined format without the query, which signs `GET /usage`, and without the referring page.
access_log_format = '%(h)s - - %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s "-" "%(a)s"'
pidfile = _hooks["pid_file"](_home / "log" / "gunicorn.pid")
daemon = _os.environ.get("OCR_DAEMON", "false").lower() in ("1", "true", "yes")
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if _os.path.isdir("/dev/shm") else None  # noqa: S108  the heartbeat must not wait for a disk

# Model sessions must not cross a fork, and what is imported before the fork is not patched.
preload_app = False
timeout = 60
graceful_timeout = 75
keepalive = 5
# The backstop against slow leaks.
max_requests = 20_000
max_requests_jitter = 2_000

on_starting = _hooks["on_starting"]
on_reload = _hooks["on_reload"]
on_exit = _hooks["on_exit"]
child_exit = _hooks["child_exit"]
post_fork = _hooks["post_fork"]
post_worker_init = _hooks["post_worker_init"]
