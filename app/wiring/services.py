"""Which concrete part stands behind each port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from app.authenticate import SignaturePolicy
from app.engine.quarantine import PictureQuarantine
from app.engine.reader import Reader
from app.fetch.fetcher import GuardedFetcher
from app.fetch.limits import FetchLimits
from app.limits.failures import FailureLimit
from app.limits.refusals import RefusalLimit
from app.limits.reports import ReportLimit
from app.ports import Clock, Offload
from app.service.caller import CallerCheck
from app.service.recognise import OcrService
from app.service.report_usage import UsageService
from app.service.sign_in import SignInService
from app.state.sql.sign_in_codes import SignInCodes
from app.state.sql.store import SqlStore
from app.system.clock import SystemClock
from app.system.disk import Disks
from app.system.loop import sleep_until, under_gevent, watch_loop
from app.system.memory import map_large_blocks
from app.telemetry.logs import configure_logging, log
from app.telemetry.metrics import Metrics
from app.wiring import startup
from app.wiring.engine import build_offload, build_reader
from app.wiring.reports import build_reports
from app.wiring.state import MB, StateParts, build_disks, build_state, longest_request_s
from config.settings import Settings

WORKER_CONNECTIONS = 1000
"""Connections that gunicorn lets a worker hold at once; gunicorn.py has a copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that create_app and the command line need. Nothing is connected or loaded yet."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    state: StateParts
    fetcher: GuardedFetcher
    quarantine: PictureQuarantine
    offload: Offload
    failures: FailureLimit
    codes: SignInCodes
    ocr: OcrService
    usage: UsageService
    sign_in: SignInService
    build_pages: Callable[[], None] = lambda: None

    @property
    def store(self) -> SqlStore:
        """The database, for the operator."""
        return self.state.store

    @property
    def disks(self) -> Disks:
        return build_disks(self.settings)

    def reader(self) -> Reader:
        """Load the engine and let it read the self-test picture, for the operator."""
        return build_reader(self.settings, self.clock, self.quarantine.reading)

    def start(self) -> None:
        """Make this worker ready to serve, or raise what is missing.

        The steps that write to a disk are tried again later where that disk is full.
        """
        disks = self.disks
        disks.now_or_later(partial(startup.await_store, self.state, disks), log)
        startup.open_failures(self.failures)
        self.check_guard()
        map_large_blocks()
        disks.now_or_later(partial(startup.watch_for_crashes, self.quarantine), log)
        self.build_pages()
        self.offload.start()
        if under_gevent():
            watch_loop(self.metrics.loop_delayed)
        startup.serve_metrics(self.settings, self.state, disks)

    def check_guard(self) -> None:
        """Raise RuntimeError if a picture URL could reach one of our own listeners."""
        for bind in (self.settings.bind, self.settings.metrics.bind):
            self.fetcher.check_refuses(bind)


def build_services(settings: Settings) -> Services:
    configure_logging(settings.log.file, settings.log.level, settings.log.max_mb * MB)
    clock, metrics = SystemClock(), Metrics()
    state = build_state(settings, clock, failed=metrics.store_failed, under_gevent=under_gevent())
    fetcher = GuardedFetcher(_fetch_limits(settings), clock=clock)
    quarantine = PictureQuarantine(settings.engine.crash_dir)
    offload = build_offload(settings, clock, quarantine=quarantine, watch_queue=metrics.queued)
    failures = _build_failures(settings, clock)
    caller = _build_caller_check(settings, clock, state, failures)
    codes = SignInCodes(state.store.database, valid_s=settings.auth.sign_in_code_s, clock=clock)
    return Services(
        settings=settings,
        clock=clock,
        metrics=metrics,
        state=state,
        fetcher=fetcher,
        quarantine=quarantine,
        offload=offload,
        failures=failures,
        codes=codes,
        ocr=OcrService(caller, state.admission, state.usage, fetcher, offload, clock),
        usage=_build_usage(settings, clock, state, caller, failed=metrics.store_failed),
        sign_in=SignInService(codes=codes, accounts=state.store, failures=failures),
    )


def _fetch_limits(settings: Settings) -> FetchLimits:
    fetch = settings.fetch
    return FetchLimits(
        timeout_s=fetch.timeout_s,
        connect_timeout_s=fetch.connect_timeout_s,
        read_timeout_s=fetch.read_timeout_s,
        max_redirects=fetch.max_redirects,
        max_picture_bytes=settings.limits.max_picture_bytes,
        slots=fetch.slots,
        user_share=settings.auth.user_share,
        allow_ports=fetch.allow_ports,
        allow_hosts=fetch.allow_hosts,
        allow_networks=fetch.allow_networks,
    )


def _build_failures(settings: Settings, clock: Clock) -> FailureLimit:
    return FailureLimit(
        settings.auth.failures_file,
        per_minute=settings.auth.failures_per_minute,
        address_per_minute=settings.auth.address_failures_per_minute,
        clock=clock,
    )


def _build_caller_check(
    settings: Settings, clock: Clock, state: StateParts, failures: FailureLimit
) -> CallerCheck:
    auth = settings.auth
    refusals = RefusalLimit(
        per_minute=auth.rate_per_minute,
        burst=auth.rate_burst,
        share=auth.user_share,
        connections=WORKER_CONNECTIONS,
        clock=clock,
    )
    policy = SignaturePolicy(
        max_age_s=auth.max_age_s,
        max_ahead_s=auth.max_ahead_s,
        legacy_nonce_days=auth.legacy_nonce_days,
        longest_request_s=longest_request_s(settings),
    )
    return CallerCheck(
        accounts=state.accounts,
        failures=failures,
        refusals=refusals,
        clock=clock,
        policy=policy,
        refused_ms=auth.refused_ms,
        sleep_until=sleep_until,
    )


def _build_usage(
    settings: Settings,
    clock: Clock,
    state: StateParts,
    caller: CallerCheck,
    *,
    failed: Callable[[str], None],
) -> UsageService:
    return UsageService(
        caller=caller,
        nonces=state.store,
        reports=build_reports(state.store, under_gevent=under_gevent(), failed=failed),
        limit=ReportLimit(
            at_once=settings.usage.reports_at_once, share=settings.auth.user_share, clock=clock
        ),
        clock=clock,
    )
