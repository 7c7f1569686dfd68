"""The metrics of one worker. app/telemetry/metrics_server.py exposes the sums over all workers."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.model.reading import OcrAnswer
from app.telemetry.metric_file import use_metric_files

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

DELAY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
        use_metric_files()
        registry = CollectorRegistry()
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        self._requests = counter("ocr_requests", "Responses of POST /ocr, by status_code.", ["status_code"])
        self._failed_stages = counter(
            "ocr_failed_stages",
            "Pictures that could not be downloaded or decoded, by status_code and stage.",
            ["status_code", "stage"],
        )
        self._signed = counter(
            "ocr_signed_requests",
            "Responses to requests with a valid signature, so that strangers cannot trigger an alert.",
            ["status_code"],
        )
        self._faults = counter("ocr_store_faults", "Calls to a store that failed.", ["store"])
        self._stages = histogram(
            "ocr_stage_seconds", "Time of each stage of a recognised picture.", ["stage"], buckets=BUCKETS
        )
        self._pictures = counter("ocr_pictures", "Recognised pictures, by format.", ["format"])
        self._lines = counter("ocr_lines", "Text lines in recognised pictures.")
        self._loop_delay = histogram(
            "ocr_loop_delay_seconds", "Delay of a scheduled task in an event loop.", buckets=DELAY_BUCKETS
        )
        self._queue = Gauge(
            "ocr_queue_length",
            "Requests that wait for the engine, download their picture, or are being read.",
            multiprocess_mode="livesum",
            registry=registry,
        )

    def loop_delayed(self, seconds: float) -> None:
        self._loop_delay.observe(seconds)

    def queued(self, length: int) -> None:
        """length: requests that this worker has admitted and not yet finished."""
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
