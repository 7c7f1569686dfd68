"""What an operator sees: one JSON line a request, and Prometheus metrics."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from logging.handlers import WatchedFileHandler
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.model import Elapsed

log = logging.getLogger("ocr")

STAGES = ("queue", "fetch", "decode", "ocr", "total")
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


GAUGES = {
    "stream_records": "Usage records in Redis that are not in the database yet.",
    "stream_lag_seconds": "Age of the oldest of them.",
    "dead_letters": "Records that the database refuses: see `flask usage dead`.",
    "open_requests": "Requests that were admitted and have not ended.",
    "spool_records": "Records on this machine's disk that Redis has not taken yet.",
}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, then the fields given as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{record.msecs:03.0f}Z",
            "level": record.levelname,
            "event": record.getMessage(),
            "pid": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(file: str, level: str) -> None:
    """Send our log to a file, which may be rotated under it, or to standard error for `-`."""
    handler: logging.Handler
    if file == "-":
        handler = logging.StreamHandler(sys.stderr)
    else:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        handler = WatchedFileHandler(file, encoding="utf-8", delay=True)
    handler.setFormatter(JsonLines())
    for old in log.handlers[:]:
        log.removeHandler(old)
        old.close()
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False
    for library in ("urllib3", "PIL"):  # at DEBUG they write down URLs with their queries
        logging.getLogger(library).setLevel(max(logging.INFO, logging.getLogger(library).level))


class Metrics:
    """Requests by code and the time of each stage, over all workers where gunicorn.py set the folder."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ocr_requests", "Answers of POST /ocr by status_code.", ["status_code"], registry=self._registry
        )
        self._faults = Counter(
            "ocr_store_faults", "Calls to a store that failed.", ["store"], registry=self._registry
        )
        self._stages = Histogram(
            "ocr_stage_seconds",
            "Time a recognised picture spent in each stage.",
            ["stage"],
            buckets=BUCKETS,
            registry=self._registry,
        )

    def answered(self, status_code: int | None, elapsed: Elapsed | None) -> None:
        self._requests.labels(str(status_code)).inc()
        if elapsed is not None:
            for stage in STAGES:
                self._stages.labels(stage).observe(getattr(elapsed, stage) / 1000)

    def store_failed(self, store: str) -> None:
        self._faults.labels(store).inc()

    def exposition(self, now: Mapping[str, float]) -> bytes:
        """All metrics in Prometheus's text format. now: what is measured when asked, by GAUGES' names."""
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + _gauges(now)


def _gauges(values: Mapping[str, float]) -> bytes:
    registry = CollectorRegistry()
    for name, value in values.items():
        Gauge(f"ocr_{name}", GAUGES[name], registry=registry).set(value)
    return generate_latest(registry)
