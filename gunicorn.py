"""Gunicorn's settings: `gunicorn --config gunicorn.py run_ocr_flask:app`.

Read by the master before gevent patches anything, so standard library only. Never imported, and never started
with the project's root on PYTHONPATH: this file would hide the gunicorn package. Every name without an
underscore is a setting of gunicorn's.
"""

import functools as _functools
import gc as _gc
import logging as _logging
import os as _os
import re as _re
import resource as _resource
from contextlib import suppress as _suppress
from pathlib import Path as _Path
from runpy import run_path as _run_path
from tempfile import TemporaryFile as _TemporaryFile

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
_exits = _metrics / "worker-exits"

for _folder in (_home / "log", _home / "var", _metrics):
    with _suppress(OSError):  # at a reload that would stop the master
        _folder.mkdir(parents=True, exist_ok=True)


def _log_file(file):
    """Loaded by path: a package that the master has imported stays as it is when its workers are reloaded."""
    max_bytes = int(_os.environ.get("OCR_LOG__MAX_MB") or 100) * 1_000_000
    made = _run_path(str(_root / "app" / "log_file.py"))["LogFile"](str(_home / "log" / file), max_bytes)
    made.check()
    return made


def _pid_file(file):
    """None where the disk has no room for it: gunicorn would not start."""
    try:
        with _TemporaryFile(dir=file.parent, buffering=0) as probe:
            probe.write(b"1")
    except OSError:
        return None
    return str(file)


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
logconfig_dict = {
    "root": {},
    "formatters": {
        "error": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
        },
        "access": {"format": "%(message)s"},
    },
    "handlers": {
        "error": {"()": _log_file, "file": "error.log", "formatter": "error"},
        "access": {"()": _log_file, "file": "access.log", "formatter": "access"},
    },
    "loggers": {
        f"gunicorn.{_name}": {"level": "INFO", "handlers": [_name], "propagate": False}
        for _name in ("error", "access")
    },
}
# Apache's combined format without the query, which signs `GET /usage`, and without the referring page.
access_log_format = '%(h)s - - %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s "-" "%(a)s"'
pidfile = _pid_file(_home / "log" / "gunicorn.pid")
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


def _never_raising(hook):
    """What a hook raises would stop the master."""

    @_functools.wraps(hook)
    def logged(server, *rest):
        try:
            hook(server, *rest)
        except Exception:
            server.log.exception("%s failed", hook.__name__)

    return logged


class _SafeToPrint(_logging.Filter):
    """Removes control characters and queries from a record, and what a stranger sent instead of a request."""

    def __init__(self):
        super().__init__()
        self._text = _run_path(str(_root / "app" / "escape.py"))  # importing would survive a reload

    def filter(self, record):
        message = record.getMessage()
        if message.startswith("Invalid request from ip="):
            message = _re.sub(r"['\"].*", "...", message, flags=_re.DOTALL)
        record.msg = self._safe(message, keep="\n" if record.name == "gunicorn.error" else "")
        record.args = None
        if record.exc_info and record.exc_info[0]:
            record.exc_text = self._safe(_logging.Formatter().formatException(record.exc_info), keep="\n")
        return True

    def _safe(self, text, keep):
        """Further lines begin with a blank, so that none passes for a record of its own."""
        return self._text["escaped"](self._text["without_secrets"](text), keep=keep).replace("\n", "\n ")


@_never_raising
def on_starting(server):
    """Counters begin anew with the master, not with each worker."""
    for name in ("gunicorn.access", "gunicorn.error"):
        _logging.getLogger(name).addFilter(_SafeToPrint())
    for old in _metrics.glob("*.db"):
        old.unlink()
    _exits.write_text(f"{0:20}")


@_never_raising
def on_reload(server):
    """Gunicorn is about to remove its pid file and to write another, for which a full disk has no room."""
    if server.pidfile is not None and server.master_pid == 0:
        server.pidfile.pid = None  # so that it stays
        server.cfg.set("pidfile", None)


@_never_raising
def on_exit(server):
    """Remove the pid file that on_reload has kept."""
    if server.pidfile is not None:
        server.pidfile.pid = server.pid
        server.pidfile.unlink()


@_never_raising
def child_exit(server, worker):
    """What a worker has counted stays in the sums, what it measured ends with it. For app/exposition.py."""
    for gauge in _metrics.glob(f"gauge_live*_{worker.pid}.db"):
        gauge.unlink()
    _exits.touch()
    with _exits.open("r+") as exits:  # written over, for which a full disk has room
        ended = int(exits.read() or 0) + 1
        exits.seek(0)
        exits.write(f"{ended:20}")


def post_fork(server, worker):
    """What a start makes stays. To look for garbage in it takes time again and again."""
    _gc.disable()


def post_worker_init(worker):
    """A worker that cannot serve stops the master here, with the reason in log/error.log."""
    worker.wsgi.extensions["ocr"].start()
    _gc.freeze()
    _gc.enable()
