"""Admission and usage in Redis, in front of the SQL database.

A user's quota that is spent is the number of its charged rows, and of the requests that are not rows yet: the
set HELD has those that run, wait on the stream, or wait to be moved. The number of rows is counted in the
database when Redis does not have it, and kept in step by whoever moves records there.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from app.errors import (
    DependencyUnavailable,
    NonceReplayed,
    QuotaExhausted,
    RateLimited,
    TimestampExpired,
)
from app.limits.rate import Rate
from app.model.account import Account, Quota
from app.model.claim import Claim
from app.model.usage import KeepText, UsageRecord
from app.ports import Clock
from app.state.redis_front.client import RedisLink, RedisUnavailable, Script
from app.state.redis_front.pending import EPOCH, OPEN, STREAM, Held, nonce_key, rate_key, recognised_key
from app.state.redis_front.spool import Spool
from app.state.sql.admission import ANSWER_LOST_MS
from app.state.sql.quota import Budget, charged_rows, period_left_s
from app.state.sql.records import columns
from app.state.sql.store import SqlStore

TRIES = 5
"""How often one admission asks: Redis may lack its epoch and a count, and others may count as well."""

FINISHED_KEPT = 1000
COUNTED_APART = 10_000
"""Requests of one user that are not rows yet, at most, while its rows are counted."""

DRAINED_AT_ONCE = 100
"""Records that a request brings from the disk to Redis, at most; more are left to the mover."""


class RedisState:
    """Implements Admission and UsageLog.

    timeout_ms: nobody waits longer for an admission, and one that is carried out later does nothing.
    guard_s: how far ahead of our clock a request may be signed. For so long after Redis was found empty
    nothing is let in, since it may have been used before.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        sql: SqlStore,
        spool: Spool,
        clock: Clock,
        rate: Rate,
        timeout_ms: int,
        guard_s: int,
        keep_text: KeepText = "none",
    ) -> None:
        self._link = link
        self._sql = sql
        self._spool = spool
        self._clock = clock
        self._rate = rate
        self._timeout_ms = timeout_ms
        self._guard_ms = guard_s * 1000
        self._keep_text = keep_text
        self._admit, self._finish = Script(link, "admit"), Script(link, "finish")
        self._count, self._epoch = Script(link, "count"), Script(link, "epoch")
        self._redis_ahead_ms: float | None = None  # of our monotonic clock
        self._running: dict[str, Held] = {}
        self._finished: deque[str] = deque(maxlen=FINISHED_KEPT)

    def ping(self) -> None:
        """Raises DependencyUnavailable."""
        self._link.ask("PING")

    def open_epoch(self) -> None:
        """Begin the life of an empty Redis. Where there is no user yet, nothing can have been signed."""
        try:
            new = not self._sql.users.any()
        except DependencyUnavailable:
            new = False
        self._epoch([EPOCH], secrets.token_hex(8), 0 if new else self._guard_ms)

    def admit(
        self, account: Account, claim: Claim, *, nonce_ttl_s: float, deadline: float = math.inf
    ) -> Quota:
        """As ports.Admission. What Redis lacks for a decision is brought to it, and it is asked again."""
        now = self._now_ms()
        begun = Held(
            Budget.of(account, now),
            {
                "request_id": claim.request_id,
                "user_id": account.user_id,
                "username": account.username,
                "started_at": now,
            },
        )
        for _ in range(TRIES):
            outcome, *detail = self._ask(account, claim, begun, math.ceil(nonce_ttl_s * 1000))
            if outcome == "admitted":
                left, started_at = detail
                row = {**begun.row, "started_at": int(started_at)}
                self._running[claim.request_id] = replace(begun, row=row)
                return Quota(account.quota_limit, left)
            if outcome == "no epoch":
                self.open_epoch()
            elif outcome == "no count":
                self._count_rows(begun.budget, deadline)
            elif outcome != "late":  # with its answer came the time, so that the next deadline is right
                _refuse(outcome, detail, claim, period_left_s(account.quota_period, now))
        raise DependencyUnavailable(f"redis: {outcome}, {TRIES} times", retry_after=1)

    def finish(self, record: UsageRecord) -> None:
        """As ports.UsageLog: onto the stream, or onto the disk where Redis does not take it."""
        begun = self._running.pop(record.request_id, None)
        if begun is None:
            if record.request_id in self._finished:
                return
            raise LookupError(f"no usage record was begun for {record.request_id}")
        ended = self._ended(begun, record)
        try:
            self.close(ended)
        except RedisUnavailable:
            self._spool.add(ended)
        self._finished.append(record.request_id)

    def close(self, held: Held) -> bool:
        """From the requests that run onto the stream; False if it was closed before.

        Raises RedisUnavailable.
        """
        budget = held.budget
        return bool(
            self._finish(
                [OPEN, budget.held_key, budget.quota_key, STREAM, recognised_key(held.request_id)],
                held.member,
                held.request_id,
                int(held.charged),
                held.as_json(),
                int(held.only_if_open),
                budget.ends_ms or "",
                ANSWER_LOST_MS,
            )
        )

    def drain_spool(self, until: float = math.inf) -> int:
        """Bring what lies on the disk to Redis; how many records there were.

        until: on the monotonic clock, where somebody waits. Raises RedisUnavailable, SpoolUnavailable, and
        DependencyUnavailable where time is up.
        """
        drained = 0
        for file, held in self._spool.waiting():
            if self._clock.monotonic() >= until:
                raise DependencyUnavailable("no time to empty the spool", retry_after=1)
            self.close(held)
            self._spool.remove(file)
            drained += 1
        return drained

    def _ask(self, account: Account, claim: Claim, begun: Held, nonce_ttl_ms: int) -> list[Any]:
        """What the script says, without the time."""
        budget = begun.budget
        keys = (
            EPOCH,
            nonce_key(account.user_id, claim.nonce),
            rate_key(account.user_id),
            budget.quota_key,
            budget.held_key,
            OPEN,
            recognised_key(claim.request_id),
        )
        deadline_ms = self._redis_ms() + self._timeout_ms
        try:
            outcome, redis_ms, *detail = self._admit(
                keys,
                deadline_ms,
                _signed_ms(claim),
                claim.request_id,
                nonce_ttl_ms,
                self._rate.interval_us,
                self._rate.tolerance_us,
                "" if account.quota_limit is None else account.quota_limit,
                begun.member,
                begun.row["started_at"],
                budget.ends_ms or "",
            )
        except RedisUnavailable as error:
            if error.sent:
                self._undo(begun)
            raise
        self._set_clock(redis_ms)
        return [outcome, *detail]

    def _undo(self, begun: Held) -> None:
        """Nobody knows whether this was admitted: close it if so, as soon as Redis is back.

        Should the disk not take it either, the mover closes it as lost, after a while.
        """
        failure = UsageRecord(begun.request_id, begun.row["username"], DependencyUnavailable.status_code)
        with suppress(DependencyUnavailable):
            self._spool.add(replace(self._ended(begun, failure), only_if_open=True))

    def _ended(self, begun: Held, record: UsageRecord) -> Held:
        end = {**columns(record, keep_text=self._keep_text), "finished_at": self._now_ms()}
        return replace(begun, row={**begun.row, **end})

    def _count_rows(self, budget: Budget, deadline: float) -> None:
        """How many charged rows there are, without those of requests that Redis holds itself.

        It is stored unless something happened to them meanwhile: then the next try counts again.
        """
        if len(self._spool) > DRAINED_AT_ONCE:
            raise DependencyUnavailable(f"{len(self._spool)} records lie in the spool", retry_after=10)
        self.drain_spool(deadline)
        epoch = self._link.ask("HGET", EPOCH, "id")
        changes = self._link.ask("HGET", budget.quota_key, "changes")
        held = self._link.ask("SMEMBERS", budget.held_key)
        if len(held) > COUNTED_APART:
            raise DependencyUnavailable(f"{len(held)} records are not moved yet", retry_after=10)
        with self._sql.database.read() as connection:
            rows = charged_rows(connection, budget.user_id, budget.starts_ms, without=held)
        keys = (EPOCH, budget.quota_key)
        self._count(keys, epoch or "", changes or "0", rows, budget.ends_ms or "")

    def _redis_ms(self) -> int:
        """The time on Redis's clock, never later than it is there."""
        if self._redis_ahead_ms is None:
            seconds, microseconds = self._link.ask("TIME")
            self._set_clock(int(seconds) * 1000 + int(microseconds) // 1000)
        return math.floor(self._clock.monotonic() * 1000 + (self._redis_ahead_ms or 0))

    def _set_clock(self, redis_ms: int) -> None:
        self._redis_ahead_ms = redis_ms - self._clock.monotonic() * 1000

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _signed_ms(claim: Claim) -> int | str:
    """Empty where the signature does not cover the time, so that anybody may have written it."""
    return "" if claim.timestamp is None or claim.legacy else claim.timestamp * 1000


def _refuse(outcome: str, detail: list[Any], claim: Claim, next_period_s: int | None) -> NoReturn:
    if outcome == "replayed":
        raise NonceReplayed(f"spent by request {detail[0]}")
    if outcome == "too fast":
        raise RateLimited("over the user's rate", retry_after=detail[0])
    if outcome == "nothing left":
        raise QuotaExhausted("nothing left", retry_after=next_period_s)
    if outcome != "before epoch":
        raise AssertionError(outcome)
    opens_in_s = math.ceil(detail[0] / 1000)
    if opens_in_s <= 0 and _signed_ms(claim):
        raise TimestampExpired("signed before Redis was emptied", field="timestamp")
    raise DependencyUnavailable("Redis was emptied: old requests might come again", retry_after=opens_in_s)
