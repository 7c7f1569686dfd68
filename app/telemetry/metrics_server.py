"""What Prometheus is shown, on a listener of its own: the sums over all workers of this instance.

One of the workers has the listener, the others wait for it: when that one ends, the next takes over. The
master cannot have it: it forks, and a worker that is forked beside a thread with a lock in its hand hangs.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.system.disk import Disks

EXITS = "worker-exits"
"""In the folder of the counters: how many workers have ended. deploy/gunicorn_hooks.py writes it."""

BACKLOG = {
    "stream_records": "Usage records in Redis that are not in the database yet.",
    "stream_lag_seconds": "Age of the oldest of them.",
    "dead_letters": "Records that the database refuses: see `flask usage dead`.",
    "open_requests": "Requests that were admitted and have not ended.",
    "spool_records": "Records on this machine's disk that Redis has not taken yet.",
}

RETRY_S = 0.5
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Workers(Collector):
    """How many workers this instance has, how large each is and may be, and how many have ended.

    max_bytes: a larger worker is replaced; 0 is any size.
    """

    exits: Path
    master: int
    max_bytes: int

    def collect(self) -> Iterator[Metric]:
        sizes = dict(_sizes(self.master))
        yield GaugeMetricFamily("ocr_workers", "Workers that are running.", value=len(sizes))
        memory = GaugeMetricFamily(
            "ocr_worker_resident_bytes", "Memory of a worker, by its process id.", labels=["worker"]
        )
        for pid, size in sizes.items():
            memory.add_metric([str(pid)], size)
        yield memory
        yield GaugeMetricFamily(
            "ocr_worker_max_bytes", "A larger worker is replaced; 0 is any size.", value=self.max_bytes
        )
        yield CounterMetricFamily(
            "ocr_worker_exits",
            "Workers that have ended: reloaded, replaced or crashed.",
            value=_number_in(self.exits),
        )


@dataclass(frozen=True)
class Backlog(Collector):
    """What is on its way to the database, where Redis is in front of it. measure: by the names of BACKLOG."""

    measure: Callable[[], Mapping[str, float]]

    def collect(self) -> Iterator[Metric]:
        for name, value in self.measure().items():
            yield GaugeMetricFamily(f"ocr_{name}", BACKLOG[name], value=value)


@dataclass(frozen=True)
class Room(Collector):
    """How much room the disks of this instance have."""

    disks: Disks

    def collect(self) -> Iterator[Metric]:
        free = GaugeMetricFamily(
            "ocr_disk_free_bytes", "Bytes that may still be written to a folder.", labels=["folder"]
        )
        for folder, size in self.disks.free_bytes().items():
            free.add_metric([str(folder)], size)
        yield free
        yield GaugeMetricFamily(
            "ocr_disk_min_free_bytes", "A disk with less is full.", value=self.disks.min_free_bytes
        )


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """bind: host:port. folder: where this instance's workers keep their counters. backlog: see Backlog.
    max_worker_bytes: see Workers.
    """

    bind: str
    folder: Path
    backlog: Callable[[], Mapping[str, float]]
    disks: Disks
    max_worker_bytes: int
    log: logging.Logger

    def start(self) -> None:
        """In a thread, which is a greenlet in a gevent worker. Call it after the fork. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.folder))  # type: ignore[no-untyped-call]
        registry.register(Workers(self.folder / EXITS, os.getppid(), self.max_worker_bytes))
        registry.register(Backlog(self.backlog))
        registry.register(Room(self.disks))
        threading.Thread(target=self._listen, args=(registry,), daemon=True).start()

    def _listen(self, registry: CollectorRegistry) -> None:
        host, _, port = self.bind.rpartition(":")
        told = False
        while True:
            try:
                start_http_server(int(port), host.strip("[]"), registry)
            except OSError as error:
                if not told:  # in most workers another one has it, which is as it should be
                    self.log.info("metrics are not shown here", extra={"fields": {"why": str(error)}})
                told = True
                time.sleep(RETRY_S)
            else:
                return


def _number_in(file: Path) -> int:
    """0 where the disk had no room for it."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _sizes(master: int) -> Iterator[tuple[int, int]]:
    """Process id and resident bytes of each child of the master."""
    for children in Path(f"/proc/{master}/task").glob("*/children"):
        for pid in children.read_text().split():
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
            except (OSError, IndexError):  # it has just ended
                continue
            yield int(pid), pages * PAGE_BYTES
