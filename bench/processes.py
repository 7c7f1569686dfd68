"""The processes of a measured server, seen from outside: how many, their memory together, and their end."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field

import psutil

STOPS_WITHIN_S = 30
SAMPLE_EVERY_S = 0.5


@dataclass
class Watch:
    """Observations of a running server, added to while it runs.

    samples: seconds on the monotonic clock, and the megabytes of all its processes together.
    newcomers: processes that started after the server was ready: replaced workers.
    """

    start_s: float = 0.0
    samples: list[tuple[float, float]] = field(default_factory=list)
    at_ready: frozenset[int] = frozenset()
    newcomers: set[int] = field(default_factory=set)

    @property
    def peak_mb(self) -> float:
        return max((mb for _, mb in self.samples), default=0.0)


def watch_until(over: threading.Event, pid: int, watch: Watch) -> None:
    while not over.wait(SAMPLE_EVERY_S):
        pids = tree(pid)
        watch.samples.append((time.monotonic(), memory_mb(pids)))
        if watch.at_ready:
            watch.newcomers |= set(pids) - watch.at_ready


def tree(pid: int) -> list[int]:
    """A process and its descendants that are alive."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return [pid]


def memory_mb(pids: list[int]) -> float:
    """Their proportional set size: a page that processes share counts once."""
    size = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):  # it may have ended
            size += psutil.Process(pid).memory_full_info().pss
    return size / 1e6


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to stop; kill it and its descendants if it takes longer than STOPS_WITHIN_S."""
    process.terminate()
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        for pid in tree(process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
