"""The steps of a worker's start that can fail, each with the error that an operator should read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from app.engine.quarantine import PictureQuarantine
from app.errors import DependencyUnavailable
from app.limits.failures import FailureLimit
from app.system.disk import Disks
from app.telemetry.logs import log
from app.telemetry.metrics_server import MetricsServer
from app.wiring.state import MB, StateParts
from config.settings import Settings

STORE_TRIES = 30
"""How often, one second apart, a starting worker tries to reach the database before it gives up."""


def await_store(state: StateParts, disks: Disks, sleep: Callable[[float], None] = time.sleep) -> None:
    """Prepare the database; wait for it while another process locks it, so that one worker does not stop all.

    A worker with Redis serves without the database. Raises DependencyUnavailable.
    """
    for left in reversed(range(STORE_TRIES)):
        try:
            state.prepare()
            state.store.sweep()
        except DependencyUnavailable as error:
            if state.redis is not None:
                log.warning("started without the database", extra={"fields": {"why": error.detail}})
                return
            if not left or disks.full():
                raise
            sleep(1)
        else:
            return


def open_failures(failures: FailureLimit) -> None:
    """Raises RuntimeError where the table of wrong signatures cannot be used."""
    try:
        failures.start()
    except OSError as error:
        raise RuntimeError(f"OCR_AUTH__FAILURES_FILE cannot be used: {error}") from error


def watch_for_crashes(quarantine: PictureQuarantine) -> None:
    """Log what earlier workers crashed on. Raises RuntimeError where the folder cannot be used."""
    try:
        tracebacks = quarantine.start()
    except OSError as error:
        raise RuntimeError(f"OCR_ENGINE__CRASH_DIR cannot be used: {error}") from error
    for traceback in tracebacks:
        log.error("a worker was taken down", extra={"fields": {"traceback": traceback}})


def serve_metrics(settings: Settings, state: StateParts, disks: Disks) -> None:
    """Start the listener of the metrics, where workers share their counters in a folder."""
    counters = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if counters is None:
        return
    max_bytes = settings.engine.max_worker_mb * MB
    server = MetricsServer(settings.metrics.bind, Path(counters), state.backlog, disks, max_bytes, log)
    disks.now_or_later(server.start, log)
