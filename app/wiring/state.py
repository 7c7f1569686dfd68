"""The store: the database alone, or with Redis in front of it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.errors import DependencyUnavailable
from app.limits.rate import Rate
from app.ports import Accounts, Admission, Clock, UsageLog
from app.state.redis_front.accounts import CachedAccounts, forget
from app.state.redis_front.admission import RedisState
from app.state.redis_front.client import RedisLink
from app.state.redis_front.health import backlog
from app.state.redis_front.mover import Mover
from app.state.redis_front.spool import Spool
from app.state.sql.database import Database
from app.state.sql.store import SqlStore
from app.system.background import NativeThreads
from app.system.blocking import Run, at_once
from app.system.disk import Disks
from config.settings import Settings, StateSettings

MB = 1_000_000

MOVER_TIMEOUT_MS = 2000
"""Milliseconds that Redis may take to answer the mover, which no caller waits for."""


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
        """Create the tables, the key file, and the epoch of an empty Redis, where they are missing.

        Call it before the first user is added: while there is no user, no request can have been signed.
        """
        self.store.create()
        if self.redis is not None:
            with suppress(DependencyUnavailable):
                self.redis.state.open_epoch()

    def ping(self) -> None:
        """Reach what every request needs: Redis, or the database without it. Raises DependencyUnavailable."""
        (self.redis.state if self.redis else self.store).ping()

    def backlog(self) -> Mapping[str, float]:
        """Counts of what has not reached the database yet, for the metrics."""
        return backlog(self.redis.link, self.redis.spool, self.clock) if self.redis else {}


def build_state(
    settings: Settings, clock: Clock, *, failed: Callable[[str], None], under_gevent: bool = False
) -> StateParts:
    """failed: called at each fault, with `redis` or `database`. under_gevent: a loop must be kept free."""
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


def build_patient(url: str) -> Database:
    """A database with a long time limit, for an operator's command. Raises ValueError for a wrong URL."""
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
    """None without Redis: records are then written to the database at once."""
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
    """The folders that a running instance writes to, with the limit that makes a disk full."""
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
    """An upper bound of the seconds between the arrival of a request and its end."""
    return settings.limits.max_timeout_ms / 1000 + settings.engine.read_limit_s
