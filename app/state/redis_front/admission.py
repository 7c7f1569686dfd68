"""Admission and usage in Redis, in front of the SQL database.

A user's spent quota is the number of its charged rows in the database, plus the number of charged requests
without a row: the set at held_key has those that run, and those that wait on the stream or for the mover.
Redis gets the number of rows from the database (row_count.py); after that the mover keeps it up to date.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import replace

from app.errors import DependencyUnavailable
from app.limits.rate import Rate
from app.model.account import Account, Quota
from app.model.claim import Claim
from app.model.usage import KeepText, UsageRecord
from app.ports import Clock
from app.state.redis_front.admission_script import (
    AdmissionKeys,
    AdmissionRequest,
    AdmissionScript,
    Decision,
    Outcome,
)
from app.state.redis_front.client import RedisLink, RedisUnavailable, Script
from app.state.redis_front.keys import (
    EPOCH,
    OPEN,
    STREAM,
    held_key,
    nonce_key,
    quota_key,
    rate_key,
    recognised_key,
)
from app.state.redis_front.pending import PendingUsage
from app.state.redis_front.redis_clock import RedisClock
from app.state.redis_front.row_count import RowCount
from app.state.redis_front.spool import Spool
from app.state.sql.admission import ANSWER_LOST_MS
from app.state.sql.quota_period import period_left_s
from app.state.sql.store import SqlStore
from app.state.sql.usage_row import columns

TRIES = 5
"""Calls of the script for one admission, at most: Redis may lack its epoch and a count of rows, and another
process may change what is being counted.
"""

FINISHED_KEPT = 1000
"""Requests that a process remembers as finished, so that a second report of their end does nothing."""


class RedisState:
    """Implements Admission and UsageLog.

    timeout_ms: limit for one admission; the script does nothing after it. guard_s: how far in the future a
    request may be signed. No request is admitted for so long after Redis was found empty, since each may have
    been admitted before.
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
        self._admission = AdmissionScript(link)
        self._finish, self._epoch = Script(link, "finish"), Script(link, "epoch")
        self._row_count = RowCount(link, sql.database, spool, self.drain_spool)
        self._redis_clock = RedisClock(link, clock)
        self._running: dict[str, PendingUsage] = {}
        self._finished: deque[str] = deque(maxlen=FINISHED_KEPT)

    def ping(self) -> None:
        """Raises DependencyUnavailable."""
        self._link.ask("PING")

    def open_epoch(self) -> None:
        """Start the life of an empty Redis, at once if there is no user yet who could have signed a request.

        Raises RedisUnavailable.
        """
        try:
            new = not self._sql.users.any()
        except DependencyUnavailable:
            new = False
        self._epoch([EPOCH], secrets.token_hex(8), 0 if new else self._guard_ms)

    def admit(
        self, account: Account, claim: Claim, *, nonce_ttl_s: float, deadline: float = math.inf
    ) -> Quota:
        """As ports.Admission. Brings to Redis what Redis lacks for a decision, and asks again."""
        pending = PendingUsage.begin(account, claim.request_id, self._now_ms())
        for _ in range(TRIES):
            decision = self._decide(account, claim, pending, math.ceil(nonce_ttl_s * 1000))
            match decision.outcome:
                case Outcome.ADMITTED:
                    running = pending.updated(started_at=decision.started_ms)
                    self._running[claim.request_id] = running
                    return Quota(account.quota_limit, decision.remaining)
                case Outcome.NO_EPOCH:
                    self.open_epoch()
                case Outcome.ROWS_UNKNOWN:
                    self._row_count.refresh(pending.period, deadline)
                case Outcome.TOO_LATE:
                    pass  # _decide has set our estimate of Redis's clock, so the next deadline is right
                case _:
                    next_period_s = period_left_s(account.quota_period, pending.row["started_at"])
                    signed = _signed_ms(claim) is not None
                    raise decision.refusal(signed=signed, next_period_s=next_period_s)
        raise DependencyUnavailable(f"redis: {decision.outcome}, {TRIES} times", retry_after=1)

    def finish(self, record: UsageRecord) -> None:
        """As ports.UsageLog: onto the stream, or onto the disk where Redis does not take the record."""
        running = self._running.pop(record.request_id, None)
        if running is None:
            if record.request_id in self._finished:
                return
            raise LookupError(f"admission began no usage record for {record.request_id}")
        ended = self._ended(running, record)
        try:
            self.close(ended)
        except RedisUnavailable:
            self._spool.add(ended)
        self._finished.append(record.request_id)

    def close(self, ended: PendingUsage) -> bool:
        """Move a request from those that run onto the stream. False if it was closed before.

        Raises RedisUnavailable.
        """
        period = ended.period
        return bool(
            self._finish(
                [OPEN, held_key(period), quota_key(period), STREAM, recognised_key(ended.request_id)],
                ended.member,
                ended.request_id,
                int(ended.charged),
                ended.as_json(),
                int(ended.only_if_open),
                period.expires_ms or "",
                ANSWER_LOST_MS,
            )
        )

    def drain_spool(self, until: float = math.inf) -> int:
        """Bring the records in the spool to Redis. Returns their number.

        until: on the monotonic clock. Raises RedisUnavailable, SpoolUnavailable, and DependencyUnavailable
        when the time is up.
        """
        drained = 0
        for file, ended in self._spool.waiting():
            if self._clock.monotonic() >= until:
                raise DependencyUnavailable("no time to empty the spool", retry_after=1)
            self.close(ended)
            self._spool.remove(file)
            drained += 1
        return drained

    def _decide(self, account: Account, claim: Claim, pending: PendingUsage, nonce_ttl_ms: int) -> Decision:
        asked = AdmissionRequest(
            deadline_ms=self._redis_clock.now_ms() + self._timeout_ms,
            signed_ms=_signed_ms(claim),
            request_id=claim.request_id,
            nonce_ttl_ms=nonce_ttl_ms,
            interval_us=self._rate.interval_us,
            tolerance_us=self._rate.tolerance_us,
            quota_limit=account.quota_limit,
            member=pending.member,
            started_ms=pending.row["started_at"],
            period_expires_ms=pending.period.expires_ms,
        )
        try:
            decision = self._admission.decide(_keys(pending, claim.nonce), asked)
        except RedisUnavailable as error:
            if error.sent:
                self._undo(pending)
            raise
        self._redis_clock.set(decision.now_ms)
        return decision

    def _undo(self, pending: PendingUsage) -> None:
        """The script may have admitted the request: have it closed, if so, as soon as Redis is back.

        If the disk does not take this either, the mover closes the request later, as lost.
        """
        code = DependencyUnavailable.status_code
        failure = UsageRecord(pending.request_id, pending.row["username"], code)
        with suppress(DependencyUnavailable):
            self._spool.add(replace(self._ended(pending, failure), only_if_open=True))

    def _ended(self, running: PendingUsage, record: UsageRecord) -> PendingUsage:
        end = columns(record, keep_text=self._keep_text)
        return running.updated(**end, finished_at=self._now_ms())

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _keys(pending: PendingUsage, nonce: str) -> AdmissionKeys:
    user_id = pending.period.user_id
    return AdmissionKeys(
        epoch=EPOCH,
        nonce=nonce_key(user_id, nonce),
        rate=rate_key(user_id),
        quota=quota_key(pending.period),
        held=held_key(pending.period),
        open=OPEN,
        recognised=recognised_key(pending.request_id),
    )


def _signed_ms(claim: Claim) -> int | None:
    """None where the signature does not cover the time, so that anybody may have written it."""
    return None if claim.timestamp is None or claim.legacy else claim.timestamp * 1000
