"""gunicorn's hooks for start, reload and exit of the master and its workers.

gunicorn.py runs this file by its path, because an imported module would not be reloaded with the master. It
runs before gevent patches anything, so it uses only the standard library.
"""

from __future__ import annotations

import functools
import gc
import os
from pathlib import Path
from tempfile import TemporaryFile


def pid_file(file):
    """The file's path; None if the disk is full, because gunicorn would not start without the file."""
    try:
        with TemporaryFile(dir=file.parent, buffering=0) as probe:
            probe.write(b"1")
    except OSError:
        return None
    return str(file)


def never_raising(hook):
    """Decorator: log a hook's exceptions, which would stop the master."""

    @functools.wraps(hook)
    def logged(server, *rest):
        try:
            hook(server, *rest)
        except Exception:
            server.log.exception("%s failed", hook.__name__)

    return logged


@never_raising
def on_starting(server):
    """Reset the metrics when the master starts. A replaced worker's counters are kept."""
    for old in _metrics().glob("*.db"):
        old.unlink()
    _exits().write_text(f"{0:20}")


@never_raising
def on_reload(server):
    """Keep the pid file: gunicorn would remove it and write a new one, which fails on a full disk."""
    if server.pidfile is not None and server.master_pid == 0:
        server.pidfile.pid = None  # gunicorn does not remove a file without its pid
        server.cfg.set("pidfile", None)


@never_raising
def on_exit(server):
    """Remove the pid file that on_reload kept."""
    if server.pidfile is not None:
        server.pidfile.pid = server.pid
        server.pidfile.unlink()


@never_raising
def child_exit(server, worker):
    """Remove the gauges of an ended worker and count its exit. Its counters stay in the sums."""
    for gauge in _metrics().glob(f"gauge_live*_{worker.pid}.db"):
        gauge.unlink()
    _exits().touch()
    with _exits().open("r+") as exits:  # overwritten in place, which works on a full disk
        ended = int(exits.read() or 0) + 1
        exits.seek(0)
        exits.write(f"{ended:20}")


def post_fork(server, worker):
    """Disable garbage collection during a worker's start, which creates no garbage."""
    gc.disable()


def post_worker_init(worker):
    """Start the services. An error stops the master, with the reason in log/error.log."""
    worker.wsgi.extensions["ocr"].start()
    gc.freeze()  # start-up objects live as long as the worker: keep them out of later collections
    gc.enable()


def _metrics():
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def _exits():
    return _metrics() / "worker-exits"
