"""The /metrics listener for Prometheus: sums over all workers of this instance.

One worker has the listener; when it ends, another takes over. gunicorn's master cannot have it, because a
worker that is forked while a thread of the master holds a lock would hang.
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
"""File in the metrics folder with the number of ended workers, written by deploy/gunicorn_hooks.py."""

BACKLOG = {
    "stream_records": "Usage records in Redis that are not in the database yet.",
    "stream_lag_seconds": "Age of the oldest usage record in Redis that is not in the database yet.",
    "dead_letters": "Usage records that the database rejected: see `flask usage dead`.",
    "open_requests": "Admitted requests that have not ended.",
    "spool_records": "Usage records on this machine's disk that Redis has not accepted yet.",
}

RETRY_S = 0.5
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Workers(Collector):
    """Number, memory and exits of this instance's workers.

    exits: file with the number of ended workers. master: its process id. max_bytes: a larger worker is
    replaced; 0 disables the limit.
    """

    exits: Path
    master: int
    max_bytes: int

    def collect(self) -> Iterator[Metric]:
        sizes = dict(_sizes(self.master))
        yield GaugeMetricFamily("ocr_workers", "Running workers.", value=len(sizes))
        memory = GaugeMetricFamily(
            "ocr_worker_resident_bytes", "Resident memory of a worker, by process id.", labels=["worker"]
        )
        for pid, size in sizes.items():
            memory.add_metric([str(pid)], size)
        yield memory
        yield GaugeMetricFamily(
            "ocr_worker_max_bytes", "A larger worker is replaced; 0 means no limit.", value=self.max_bytes
        )
        yield CounterMetricFamily(
            "ocr_worker_exits",
            "Ended workers: reloaded, replaced or crashed.",
            value=_number_in(self.exits),
        )


@dataclass(frozen=True)
class Backlog(Collector):
    """Usage records on their way to the database through Redis. measure: returns {name of BACKLOG: value}."""

    measure: Callable[[], Mapping[str, float]]

    def collect(self) -> Iterator[Metric]:
        for name, value in self.measure().items():
            yield GaugeMetricFamily(f"ocr_{name}", BACKLOG[name], value=value)


@dataclass(frozen=True)
class Room(Collector):
    """Free space on the disks of this instance."""

    disks: Disks

    def collect(self) -> Iterator[Metric]:
        free = GaugeMetricFamily(
            "ocr_disk_free_bytes", "Free bytes on the disk of a folder.", labels=["folder"]
        )
        for folder, size in self.disks.free_bytes().items():
            free.add_metric([str(folder)], size)
        yield free
        yield GaugeMetricFamily(
            "ocr_disk_min_free_bytes",
            "A disk with fewer free bytes counts as full.",
            value=self.disks.min_free_bytes,
        )


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """bind: HOST:PORT. folder: of the workers' metric files. backlog: measures Backlog's values.

    max_worker_bytes: a larger worker is replaced.
    """

    bind: str
    folder: Path
    backlog: Callable[[], Mapping[str, float]]
    disks: Disks
    max_worker_bytes: int
    log: logging.Logger

    def start(self) -> None:
        """Listen in a thread, which is a greenlet under gevent. Call it after the fork. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.folder))  # type: ignore[no-untyped-call]
        registry.register(Workers(self.folder / EXITS, os.getppid(), self.max_worker_bytes))
        registry.register(Backlog(self.backlog))
        registry.register(Room(self.disks))
        threading.Thread(target=self._listen, args=(registry,), daemon=True).start()

    def _listen(self, registry: CollectorRegistry) -> None:
        host, _, port = self.bind.rpartition(":")
        logged = False
        while True:
            try:
                start_http_server(int(port), host.strip("[]"), registry)
            except OSError as error:
                if not logged:  # normal in all workers but one
                    self.log.info("metrics are not shown here", extra={"fields": {"why": str(error)}})
                logged = True
                time.sleep(RETRY_S)
            else:
                return


def _number_in(file: Path) -> int:
    """The number in a file; 0 if it is missing or empty, as after a full disk."""
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
            except (OSError, IndexError):  # the worker has just ended
                continue
            yield int(pid), pages * PAGE_BYTES
