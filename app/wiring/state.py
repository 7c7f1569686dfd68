"""Which store stands behind the ports of state: the database alone, or with Redis in front of it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.errors import DependencyUnavailable
from app.limits.rate import Rate
from app.model.usage import UsageReport, UserQuota, UserUsage
from app.ports import Accounts, Admission, Background, Clock, Reports, UsageLog
from app.state.redis_front.accounts import CachedAccounts, forget
from app.state.redis_front.admission import RedisState
from app.state.redis_front.client import RedisLink
from app.state.redis_front.health import backlog
from app.state.redis_front.mover import Mover
from app.state.redis_front.spool import Spool
from app.state.sql.database import Database
from app.state.sql.store import SqlStore
from app.system.background import Greenlets, NativeThreads
from app.system.blocking import Run, at_once
from app.system.disk import Disks
from config.settings import Settings, StateSettings

MB = 1_000_000

T = TypeVar("T")

REPORTS_IN_TURN = 2
"""How many reports a worker works on at a time; more wait for their turn. On MySQL each has a connection that
no request uses.
"""

MOVER_TIMEOUT_MS = 2000
"""How long Redis may take to answer the mover, for whom no caller waits."""


@dataclass(frozen=True, slots=True)
class RedisParts:
    link: RedisLink
    spool: Spool
    accounts: CachedAccounts
    state: RedisState


@dataclass(frozen=True, slots=True)
class StateParts:
    """The database, and Redis where OCR_STATE__REDIS_URL is set. Nothing is connected yet."""

    store: SqlStore
    redis: RedisParts | None
    clock: Clock

    @property
    def accounts(self) -> Accounts:
        return self.redis.accounts if self.redis else self.store

    @property
    def admission(self) -> Admission:
        return self.redis.state if self.redis else self.store

    @property
    def usage(self) -> UsageLog:
        return self.redis.state if self.redis else self.store

    def prepare(self) -> None:
        """The database, the key file, and the life of an empty Redis, as far as they are missing.

        To be done before the first user is added: as long as there is none, nothing can have been signed.
        """
        self.store.create()
        if self.redis is not None:
            with suppress(DependencyUnavailable):
                self.redis.state.open_epoch()

    def ping(self) -> None:
        """What every request needs: Redis, or else the database. Raises DependencyUnavailable."""
        (self.redis.state if self.redis else self.store).ping()

    def backlog(self) -> Mapping[str, float]:
        """What has not reached the database yet, for the metrics."""
        return backlog(self.redis.link, self.redis.spool, self.clock) if self.redis else {}


def build_state(
    settings: Settings, clock: Clock, *, failed: Callable[[str], None], under_gevent: bool = False
) -> StateParts:
    """failed: told of each fault, of `redis` or of `database`. under_gevent: there is a loop to keep free."""
    link = _build_link(settings.state, clock, partial(failed, "redis"), settings.state.redis_timeout_ms)
    disk = NativeThreads(1).run if under_gevent else at_once
    store = SqlStore(
        build_database(
            settings.state,
            failed=partial(failed, "database"),
            run_commit=disk,
        ),
        key_file=settings.state.key_file,
        rate_per_minute=settings.auth.rate_per_minute,
        rate_burst=settings.auth.rate_burst,
        user_share=settings.auth.user_share,
        abandoned_after_s=longest_request_s(settings),
        keep_text=settings.usage.keep_text,
        clock=clock,
        changed=partial(forget, link) if link else lambda username, budget: None,
    )
    return StateParts(store, _build_redis(settings, link, store, clock, disk) if link else None, clock)


@dataclass(frozen=True, slots=True)
class ReportsInBackground:
    """What the reports say, each in the background; failed: told of each fault of the database."""

    reports: Reports
    background: Background
    failed: Callable[[], None]

    def report(self, user_id: int | None, first: date, last: date) -> UsageReport:
        return self._run(partial(self.reports.report, user_id, first, last))

    def usage_of_all(self, first: date, last: date) -> tuple[UserUsage, ...]:
        return self._run(partial(self.reports.usage_of_all, first, last))

    def quota(self, username: str) -> UserQuota:
        return self._run(partial(self.reports.quota, username))

    def is_admin(self, username: str) -> bool:
        return self._run(partial(self.reports.is_admin, username))

    def _run(self, job: Callable[[], T]) -> T:
        try:
            return self.background.run(job)
        except DependencyUnavailable:
            self.failed()
            raise


def build_reports(store: SqlStore, *, under_gevent: bool, failed: Callable[[str], None]) -> Reports:
    """SQLite works within the calling thread, MySQL at the other end of a socket that gevent watches."""
    if not under_gevent:
        return store.reports
    kind = NativeThreads if store.database.embedded else Greenlets
    reports = store.reports_apart(REPORTS_IN_TURN)
    return ReportsInBackground(reports, kind(REPORTS_IN_TURN), partial(failed, "database"))


def build_patient(url: str) -> Database:
    """For an operator's command that may take long; raises ValueError for a URL that settings refuse."""
    return build_database(StateSettings(database_url=url)).patient()


def build_database(
    settings: StateSettings, failed: Callable[[], None] = lambda: None, run_commit: Run = at_once
) -> Database:
    return Database(
        settings.database_url,
        busy_timeout_ms=settings.busy_timeout_ms,
        mysql_timeout_s=settings.mysql_timeout_s,
        mysql_connections=settings.mysql_connections,
        failed=failed,
        run_commit=run_commit,
    )


def build_mover(settings: Settings, state: StateParts) -> Mover | None:
    """None without Redis, where records are written to the database at once."""
    link = _build_link(settings.state, state.clock, lambda: None, MOVER_TIMEOUT_MS)
    if link is None:
        return None
    return Mover(
        link,
        state=_build_redis(settings, link, state.store, state.clock).state,
        sql=state.store,
        clock=state.clock,
        name=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
        claim_after_s=settings.state.claim_after_s,
        abandoned_after_s=longest_request_s(settings),
    )


def _build_link(
    settings: StateSettings, clock: Clock, failed: Callable[[], None], timeout_ms: int
) -> RedisLink | None:
    if not settings.redis_url:
        return None
    return RedisLink(
        settings.redis_url,
        timeout_ms=timeout_ms,
        connections=settings.redis_connections,
        clock=clock,
        failed=failed,
    )


def build_disks(settings: Settings) -> Disks:
    """The folders that a running instance writes to."""
    folders = (
        Path(settings.log.file).absolute().parent if settings.log.file != "-" else None,
        settings.state.database_folder,
        settings.state.spool_dir if settings.state.redis_url else None,
        settings.auth.failures_file.parent,
        settings.engine.crash_dir,
    )
    different = dict.fromkeys(folder for folder in folders if folder is not None)
    return Disks(tuple(different), settings.log.min_free_mb * MB)


def _build_redis(
    settings: Settings, link: RedisLink, store: SqlStore, clock: Clock, disk: Run = at_once
) -> RedisParts:
    spool = Spool(settings.state.spool_dir, disk)
    state = RedisState(
        link,
        sql=store,
        spool=spool,
        clock=clock,
        rate=Rate(per_minute=settings.auth.rate_per_minute, burst=settings.auth.rate_burst),
        timeout_ms=settings.state.redis_timeout_ms,
        guard_s=settings.auth.max_ahead_s,
        keep_text=settings.usage.keep_text,
    )
    return RedisParts(link, spool, CachedAccounts(link, store, clock), state)


def longest_request_s(settings: Settings) -> float:
    """Longer than any may take, from its body on to its admission, and on to its end."""
    return settings.limits.max_timeout_ms / 1000 + settings.engine.read_limit_s
