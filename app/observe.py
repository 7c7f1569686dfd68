"""What an operator sees: one JSON line a request, and what Prometheus is to count."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.escape import escaped_json, shortened, without_secrets
from app.log_file import LogFile
from app.metric_file import use_metric_files
from app.model import OcrAnswer

log = logging.getLogger("ocr")

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
MAX_LOGGED_CHARACTERS = 16_000
"""Of a value in the log. A traceback may quote a whole request, and each takes microseconds a character."""

DELAY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, then the fields given as `extra={"fields": {...}}`.

    URLs lose user-info and query, whatever error text they are part of; control characters are escaped.
    """

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
        line = {name: _loggable(value) if isinstance(value, str) else value for name, value in line.items()}
        return escaped_json(json.dumps(line, ensure_ascii=False, default=lambda value: _loggable(str(value))))


def _loggable(text: str) -> str:
    return without_secrets(shortened(text, MAX_LOGGED_CHARACTERS))


def configure_logging(file: str, level: str, max_bytes: int) -> None:
    """Send our log to a file of at most so many bytes, or to standard error for `-`."""
    handler: logging.Handler
    if file == "-":
        handler = logging.StreamHandler(sys.stderr)
    else:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        handler = LogFile(file, max_bytes)
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
    """What a worker counts. app/exposition.py shows the sums over all workers."""

    def __init__(self) -> None:
        use_metric_files()
        registry = CollectorRegistry()
        self._requests = Counter(
            "ocr_requests", "Answers of POST /ocr by status_code.", ["status_code"], registry=registry
        )
        self._failed_stages = Counter(
            "ocr_failed_stages",
            "Pictures that could not be fetched or decoded, by status_code and stage.",
            ["status_code", "stage"],
            registry=registry,
        )
        self._signed = Counter(
            "ocr_signed_requests",
            "Those of them whose signature was found good, so that no stranger can raise an alert.",
            ["status_code"],
            registry=registry,
        )
        self._faults = Counter(
            "ocr_store_faults", "Calls to a store that failed.", ["store"], registry=registry
        )
        self._stages = Histogram(
            "ocr_stage_seconds",
            "Time a recognised picture spent in each stage.",
            ["stage"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._pictures = Counter(
            "ocr_pictures", "Pictures that were recognised, by format.", ["format"], registry=registry
        )
        self._lines = Counter("ocr_lines", "Lines of text found in them.", registry=registry)
        self._queue = Gauge(
            "ocr_queue_length",
            "Requests that wait for an engine, have their picture fetched, or are being read.",
            multiprocess_mode="livesum",
            registry=registry,
        )

        self._loop_delay = Histogram(
            "ocr_loop_delay_seconds",
            "How late a worker's loop was for a task that was due.",
            buckets=DELAY_BUCKETS,
            registry=registry,
        )

    def loop_delayed(self, seconds: float) -> None:
        self._loop_delay.observe(seconds)

    def queued(self, length: int) -> None:
        """How many requests this worker has admitted and not yet done with."""
        self._queue.set(length)

    def store_failed(self, store: str) -> None:
        self._faults.labels(store).inc()

    def answered(
        self, status_code: int | None, answer: OcrAnswer | None, *, stage: str | None, signed: bool
    ) -> None:
        self._requests.labels(str(status_code)).inc()
        if stage is not None:
            self._failed_stages.labels(str(status_code), stage).inc()
        if signed:
            self._signed.labels(str(status_code)).inc()
        if answer is None:
            return
        page, picture = answer.reading.page, answer.reading.picture
        parts = {"detection": page.detection_ms, "recognition": page.recognition_ms}
        for stage, spent_ms in (asdict(answer.elapsed) | parts).items():
            if spent_ms is not None:
                self._stages.labels(stage).observe(spent_ms / 1000)
        self._pictures.labels(picture.format).inc()
        self._lines.inc(len(page.lines))
