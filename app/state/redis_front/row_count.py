"""How many charged rows a user has, counted in the database for a Redis that does not know it."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import DependencyUnavailable
from app.state.redis_front.client import RedisLink, Script
from app.state.redis_front.keys import EPOCH, held_key, quota_key
from app.state.redis_front.spool import Spool
from app.state.sql.database import Database
from app.state.sql.quota import charged_rows
from app.state.sql.quota_period import QuotaPeriod

MAX_HELD = 10_000
"""Requests of one user without a row, at most, that a count leaves out."""

MAX_SPOOLED = 100
"""Records that a request brings from the disk to Redis, at most; more than that are left to the mover."""


class RowCount:
    """drain_spool: brings the spool to Redis until a moment on the monotonic clock."""

    def __init__(
        self, link: RedisLink, database: Database, spool: Spool, drain_spool: Callable[[float], object]
    ) -> None:
        self._link = link
        self._database = database
        self._spool = spool
        self._drain_spool = drain_spool
        self._count = Script(link, "count")

    def refresh(self, period: QuotaPeriod, deadline: float) -> None:
        """Count the rows without those of requests that Redis holds itself, and store the number in Redis.

        Stores nothing if these requests changed meanwhile: the next admission finds the number still missing.
        Raises DependencyUnavailable, also where counting would take too long.
        """
        if len(self._spool) > MAX_SPOOLED:
            raise DependencyUnavailable(f"{len(self._spool)} records lie in the spool", retry_after=10)
        self._drain_spool(deadline)
        epoch = self._link.ask("HGET", EPOCH, "id")
        changes = self._link.ask("HGET", quota_key(period), "changes")
        held = self._link.ask("SMEMBERS", held_key(period))
        if len(held) > MAX_HELD:
            raise DependencyUnavailable(f"{len(held)} records are not moved yet", retry_after=10)
        with self._database.read() as connection:
            rows = charged_rows(connection, period.user_id, period.starts_ms, without=held)
        keys = (EPOCH, quota_key(period))
        self._count(keys, epoch or "", changes or "0", rows, period.expires_ms or "")
