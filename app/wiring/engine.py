"""The engine, the decode host, and the threads that reading runs in, built from the settings."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from app.decode.host import DecodeHost
from app.decode.limits import DecodeBudget, DecodeLimits
from app.engine.admission_queue import AdmissionQueue
from app.engine.inline import Inline
from app.engine.quarantine import PictureQuarantine
from app.engine.read_pool import ReadPool
from app.engine.reader import CrashGuard, Reader
from app.engine.watchdog import Watchdog
from app.ports import Clock, Engine, Offload
from app.system.loop import under_gevent
from app.telemetry.logs import log
from config.settings import EngineSettings, LimitSettings, Settings

SELF_TEST = Path(__file__).parents[1] / "ocr" / "self_test.png"
"""Drawn by samples.draw.numbered(2468)."""
SELF_TEST_TEXT = "T-7866"


def build_reader(settings: Settings, clock: Clock, crash_guard: CrashGuard = nullcontext) -> Reader:
    """The engine with its models loaded, after it has read the self-test picture correctly."""
    host = build_decode_host(settings.limits)
    host.start()
    reader = Reader(
        host.decode,
        build_engine(settings.engine),
        settings.engine.side_limit,
        clock,
        crash_guard,
    )
    return reader.checked(SELF_TEST.read_bytes(), SELF_TEST_TEXT)


def build_decode_host(limits: LimitSettings) -> DecodeHost:
    return DecodeHost(
        DecodeLimits(
            max_picture_bytes=limits.max_picture_bytes,
            max_picture_pixels=limits.max_picture_pixels,
            max_side_px=limits.max_side_px,
            max_jpeg_scans=limits.max_jpeg_scans,
        ),
        DecodeBudget(
            cpu_s=limits.decode_cpu_s,
            wall_s=limits.decode_wall_s,
            memory_mb=limits.decode_memory_mb,
            large_pixels=limits.large_picture_pixels,
        ),
    )


def build_engine(settings: EngineSettings) -> Engine:
    if settings.name == "paddleocr":
        from app.ocr.paddle_engine import PaddleEngine

        return PaddleEngine(
            models_dir=settings.models_dir,
            detection_model=settings.detection_model,
            recognition_model=settings.recognition_model,
            cores=settings.cores,
            side_limit=settings.side_limit,
        )
    from app.ocr.engine import PpOcrEngine

    return PpOcrEngine(
        models_dir=settings.models_dir,
        detection_model=settings.detection_model,
        recognition_model=settings.recognition_model,
        runtime=settings.runtime,
        precision=settings.precision,
        cores=settings.cores,
        side_limit=settings.side_limit,
        max_lines=settings.max_lines,
        charset=settings.charset,
        prepare_widths=settings.warm_up,
    )


def build_offload(
    settings: Settings,
    clock: Clock,
    *,
    quarantine: PictureQuarantine,
    watch_queue: Callable[[int], None],
) -> Offload:
    """watch_queue: called with the length of the queue whenever it changes."""
    build = partial(build_reader, settings, clock, quarantine.reading)
    if not under_gevent():
        return Inline(build, clock=clock)
    engine = settings.engine
    queue = AdmissionQueue(
        threads=1 if engine.name == "paddleocr" else engine.threads,  # PaddleEngine says why
        user_share=settings.auth.user_share,
        queue_wait_s=engine.queue_wait_s,
        clock=clock,
        watch_length=watch_queue,
    )
    watchdog = Watchdog(
        read_limit_s=engine.read_limit_s,
        max_worker_mb=engine.max_worker_mb,
        refuse=lambda data: quarantine.refuse(hashlib.sha256(data).hexdigest(), "its read never ended"),
        replace_worker=_replace_this_worker,
    )
    return ReadPool(build, queue=queue, watchdog=watchdog, clock=clock)


def _replace_this_worker(why: str) -> None:
    """SIGTERM: gunicorn finishes the running requests of this worker and starts another."""
    log.warning("worker is replaced", extra={"fields": {"why": why}})
    os.kill(os.getpid(), signal.SIGTERM)
