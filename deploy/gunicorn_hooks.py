"""What gunicorn's master and workers do at each start, reload and end, beside gunicorn's own.

gunicorn.py runs this file by its path, because a module that the master has imported outlives a reload. It
does so before gevent patches anything, so standard library only.
"""

from __future__ import annotations

import functools
import gc
import os
from pathlib import Path
from tempfile import TemporaryFile


def pid_file(file):
    """None where the disk has no room for the file: gunicorn would not start."""
    try:
        with TemporaryFile(dir=file.parent, buffering=0) as probe:
            probe.write(b"1")
    except OSError:
        return None
    return str(file)


def never_raising(hook):
    """What a hook raises would stop the master."""

    @functools.wraps(hook)
    def logged(server, *rest):
        try:
            hook(server, *rest)
        except Exception:
            server.log.exception("%s failed", hook.__name__)

    return logged


@never_raising
def on_starting(server):
    """Counters start at zero with the master, not with each worker."""
    for old in _metrics().glob("*.db"):
        old.unlink()
    _exits().write_text(f"{0:20}")


@never_raising
def on_reload(server):
    """Gunicorn is about to remove its pid file and to write another, for which a full disk has no room."""
    if server.pidfile is not None and server.master_pid == 0:
        server.pidfile.pid = None  # so that it stays
        server.cfg.set("pidfile", None)


@never_raising
def on_exit(server):
    """Remove the pid file that on_reload has kept."""
    if server.pidfile is not None:
        server.pidfile.pid = server.pid
        server.pidfile.unlink()


@never_raising
def child_exit(server, worker):
    """The counters of a worker stay in the sums of the metrics server, its gauges end with it."""
    for gauge in _metrics().glob(f"gauge_live*_{worker.pid}.db"):
        gauge.unlink()
    _exits().touch()
    with _exits().open("r+") as exits:  # written over, for which a full disk has room
        ended = int(exits.read() or 0) + 1
        exits.seek(0)
        exits.write(f"{ended:20}")


def post_fork(server, worker):
    """No garbage collection during a worker's start: there is no garbage yet."""
    gc.disable()


def post_worker_init(worker):
    """A worker that cannot serve stops the master here, with the reason in log/error.log."""
    worker.wsgi.extensions["ocr"].start()
    gc.freeze()  # start-up objects live as long as the worker: keep them out of later collections
    gc.enable()


def _metrics():
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def _exits():
    return _metrics() / "worker-exits"
