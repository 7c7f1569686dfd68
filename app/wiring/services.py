"""Which concrete part stands behind each port: the only file that names them."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.authenticate import SignaturePolicy
from app.decode.host import DecodeHost
from app.decode.limits import DecodeBudget, DecodeLimits
from app.engine.quarantine import PictureQuarantine
from app.engine.read_pool import Inline, NativeThreads
from app.engine.reader import CrashGuard, Reader
from app.errors import DependencyUnavailable
from app.fetch.fetcher import GuardedFetcher
from app.limits.failures import FailureLimit
from app.limits.refusals import RefusalLimit
from app.ports import Clock, Engine, Offload
from app.service.caller import CallerCheck
from app.service.recognise import OcrService
from app.service.report_usage import ReportLimit, UsageService
from app.service.sign_in import SignInService
from app.state.sql.sign_in_codes import SignInCodes
from app.state.sql.store import SqlStore
from app.system.disk import Disks
from app.system.loop import sleep_until, under_gevent, watch_loop
from app.system.memory import map_large_blocks
from app.telemetry.logs import configure_logging, log
from app.telemetry.metrics import Metrics
from app.telemetry.metrics_server import MetricsServer
from app.wiring.state import MB, StateParts, build_disks, build_reports, build_state, longest_request_s
from config.settings import EngineSettings, LimitSettings, Settings

# samples.draw.numbered(2468), and its text.
SELF_TEST = Path(__file__).parents[1] / "ocr" / "self_test.png"
SELF_TEST_TEXT = "T-7866"

STORE_TRIES = 30
"""How often, a second apart, a starting worker looks for the database before it gives up."""


WORKER_CONNECTIONS = 1000
"""That gunicorn lets a worker hold at once; gunicorn.py has a copy."""


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that create_app and the command line need. Nothing is connected or loaded yet."""

    settings: Settings
    clock: Clock
    state: StateParts
    fetcher: GuardedFetcher
    offload: Offload
    failures: FailureLimit
    ocr: OcrService
    usage: UsageService
    codes: SignInCodes
    sign_in: SignInService
    reader: Callable[[], Reader]
    quarantine: PictureQuarantine
    metrics: Metrics
    build_pages: Callable[[], None] = lambda: None

    @property
    def store(self) -> SqlStore:
        """The database, for the operator."""
        return self.state.store

    @property
    def disks(self) -> Disks:
        return build_disks(self.settings)

    def start(self) -> None:
        """Make ready to serve, or say why not: store, key, limits, download guard, models, engine."""
        self.disks.now_or_later(self._await_store, log)
        self._open_failures()
        self.check_guard()
        map_large_blocks()
        self.disks.now_or_later(self._watch_for_crashes, log)
        self.build_pages()
        self.offload.start()
        if under_gevent():
            watch_loop(self.metrics.loop_delayed)
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            counters = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
            bind = self.settings.metrics.bind
            max_bytes = self.settings.engine.max_worker_mb * MB
            metrics_server = MetricsServer(bind, counters, self.state.backlog, self.disks, max_bytes, log)
            self.disks.now_or_later(metrics_server.start, log)

    def _await_store(self) -> None:
        """A worker that starts while somebody else holds the database must not take the whole server down.

        Behind Redis it can serve without.
        """
        for left in reversed(range(STORE_TRIES)):
            try:
                self.state.prepare()
                self.store.sweep()
            except DependencyUnavailable as error:
                if self.state.redis is not None:
                    log.warning("begun without the database", extra={"fields": {"why": error.detail}})
                    return
                if not left or self.disks.full():
                    raise
                time.sleep(1)
            else:
                return

    def _open_failures(self) -> None:
        try:
            self.failures.start()
        except OSError as error:
            raise RuntimeError(f"OCR_AUTH__FAILURES_FILE cannot be used: {error}") from error

    def _watch_for_crashes(self) -> None:
        try:
            tracebacks = self.quarantine.start()
        except OSError as error:
            raise RuntimeError(f"OCR_ENGINE__CRASH_DIR cannot be used: {error}") from error
        for traceback in tracebacks:
            log.error("a worker was taken down", extra={"fields": {"traceback": traceback}})

    def check_guard(self) -> None:
        """Raise RuntimeError if a picture URL could reach one of our own listeners."""
        for bind in (self.settings.bind, self.settings.metrics.bind):
            self.fetcher.check_refuses(bind)


def build_services(settings: Settings) -> Services:
    configure_logging(settings.log.file, settings.log.level, settings.log.max_mb * MB)
    clock = SystemClock()
    metrics = Metrics()
    state = build_state(settings, clock, failed=metrics.store_failed, under_gevent=under_gevent())
    fetcher = GuardedFetcher(
        **settings.fetch.model_dump(),
        user_share=settings.auth.user_share,
        max_picture_bytes=settings.limits.max_picture_bytes,
        clock=clock,
    )
    quarantine = PictureQuarantine(settings.engine.crash_dir)
    reader = partial(build_reader, settings, clock, quarantine.reading)
    offload = _build_offload(settings, reader, clock, metrics, quarantine)
    failures = FailureLimit(
        settings.auth.failures_file,
        per_minute=settings.auth.failures_per_minute,
        address_per_minute=settings.auth.address_failures_per_minute,
        clock=clock,
    )
    policy = SignaturePolicy(
        settings.auth.max_age_s,
        settings.auth.max_ahead_s,
        settings.auth.legacy_nonce_days,
        longest_request_s(settings),
    )
    caller = CallerCheck(
        accounts=state.accounts,
        failures=failures,
        refusals=RefusalLimit(
            per_minute=settings.auth.rate_per_minute,
            burst=settings.auth.rate_burst,
            share=settings.auth.user_share,
            connections=WORKER_CONNECTIONS,
            clock=clock,
        ),
        clock=clock,
        policy=policy,
        refused_ms=settings.auth.refused_ms,
        sleep_until=sleep_until,
    )
    ocr = OcrService(
        caller=caller,
        admission=state.admission,
        usage=state.usage,
        fetcher=fetcher,
        offload=offload,
        clock=clock,
    )
    usage = UsageService(
        caller=caller,
        nonces=state.store,
        reports=build_reports(state.store, under_gevent=under_gevent(), failed=metrics.store_failed),
        limit=ReportLimit(settings.usage.reports_at_once, settings.auth.user_share, clock),
        clock=clock,
    )
    codes = SignInCodes(state.store.database, valid_s=settings.auth.sign_in_code_s, clock=clock)
    sign_in = SignInService(codes, accounts=state.store, failures=failures)
    return Services(
        settings=settings,
        clock=clock,
        state=state,
        fetcher=fetcher,
        offload=offload,
        failures=failures,
        ocr=ocr,
        usage=usage,
        codes=codes,
        sign_in=sign_in,
        reader=reader,
        quarantine=quarantine,
        metrics=metrics,
    )


def build_reader(settings: Settings, clock: Clock, crash_guard: CrashGuard = nullcontext) -> Reader:
    """The engine with its models loaded, once it has read a picture of ours and found its text."""
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


def _build_offload(
    settings: Settings,
    reader: Callable[[], Reader],
    clock: Clock,
    metrics: Metrics,
    quarantine: PictureQuarantine,
) -> Offload:
    if not under_gevent():
        return Inline(reader, clock=clock)
    return NativeThreads(
        reader,
        threads=1
        if settings.engine.name == "paddleocr"
        else settings.engine.threads,  # PaddleEngine says why
        user_share=settings.auth.user_share,
        queue_wait_s=settings.engine.queue_wait_s,
        read_limit_s=settings.engine.read_limit_s,
        max_worker_mb=settings.engine.max_worker_mb,
        clock=clock,
        refuse=lambda data: quarantine.refuse(hashlib.sha256(data).hexdigest(), "its read never ended"),
        replace_worker=_replace_this_worker,
        watch_queue=metrics.queued,
    )


def _replace_this_worker(why: str) -> None:
    """SIGTERM: gunicorn takes no new connection, finishes what is under way, and starts another worker."""
    log.warning("worker is replaced", extra={"fields": {"why": why}})
    os.kill(os.getpid(), signal.SIGTERM)


def new_request_id() -> str:
    """32 hex digits that sort by time, as UUID version 7 (RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1
    return f"{value:032x}"
