"""What is seen of a server's processes from outside: how many, how large together, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

STOPS_WITHIN_S = 30
SAMPLE_EVERY_S = 0.5


@dataclass
class Watch:
    """What is known of a running server; it grows while the server runs.

    samples: seconds on the monotonic clock, and the megabytes of all its processes together.
    newcomers: processes that it did not have when it was ready: replaced workers.
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
    """A process and all that descend from it, as far as they are alive."""
    found = [pid]
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it may end while we look
            for child in listing.read_text().split():
                found += tree(int(child))
    return found


def memory_mb(pids: list[int]) -> float:
    """Their proportional set size: pages that processes share count once."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError, StopIteration):
            report = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes += int(next(line for line in report if line.startswith("Pss:")).split()[1])
    return kilobytes * 1024 / 1e6


def end(process: subprocess.Popen[bytes]) -> None:
    """Politely; what has not ended after a while is killed, process by process."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        for pid in tree(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
