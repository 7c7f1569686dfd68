"""What decoding one picture costs, in this process and in its decode host together."""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.decode.host import DecodeHost
from tests.hostile.crafted import chunk, png

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.002
_REAPED_WITHIN_S = 0.02
_ONE_PIXEL = png(1, 1, chunk(b"IDAT", zlib.compress(bytes(2))), chunk(b"IEND", b""))


def children(pid: int) -> list[int]:
    """The child processes of a process, by all its threads."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in listing.read_text().split()]
    return found


@dataclass
class Cost:
    """cpu_s: of the waiting thread and of the host's children. memory_mb: the peak beyond what was before."""

    cpu_s: float = 0.0
    memory_mb: float = 0.0


@contextmanager
def measured(host: int) -> Iterator[Cost]:
    """host: the process id of the decode host. Nothing else may use it meanwhile."""
    cost, over = Cost(), threading.Event()
    before = _memory_mb(host)
    sampler = threading.Thread(target=_sample, args=(host, before, cost, over))
    started = time.thread_time() + _children_cpu_s(host)
    sampler.start()
    try:
        yield cost
    finally:
        over.set()
        sampler.join()
        time.sleep(_REAPED_WITHIN_S)
        cost.cpu_s = time.thread_time() + _children_cpu_s(host) - started


@contextmanager
def own_host(host: DecodeHost) -> Iterator[int]:
    """Start it; its process id, which is that of the one child more that this process has then."""
    others = set(children(os.getpid()))
    host.decode(_ONE_PIXEL)
    [pid] = set(children(os.getpid())) - others
    yield pid
    host.close()


def _sample(host: int, before: float, cost: Cost, over: threading.Event) -> None:
    while not over.wait(_SAMPLE_S):
        cost.memory_mb = max(cost.memory_mb, _memory_mb(host) - before)


def _children_cpu_s(host: int) -> float:
    """Of those that have ended and of those that wait for more."""
    ended = sum(_times(host)[2:])
    return ended + sum(sum(_times(child)[:2]) for child in children(host))


def _times(pid: int) -> list[float]:
    """In user and system mode; those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return [0.0] * 4
    return [int(field) * _TICK_S for field in fields[11:15]]


def _memory_mb(host: int) -> float:
    """Each process's share of what is in memory; a child that has just ended has none."""
    total = 0.0
    for process in ["self", host, *children(host)]:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(rollup.split("Pss:")[1].split()[0]) / 1000
    return total
