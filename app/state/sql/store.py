"""Accounts, admission and usage in one SQL database.

A user's quota_used is the number of its usage records of the current period that are charged. A record is
charged when it is begun, and gives that back when it ends otherwise than with a recognised picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from app.errors import Busy, DependencyUnavailable
from app.limits.rate import Rate
from app.limits.shares import UserShares
from app.model.account import Account, CachedAccount, Quota
from app.model.claim import Claim
from app.model.usage import KeepText, UsageRecord, UsageReport
from app.ports import Clock
from app.state.sql import schema
from app.state.sql.admission import (
    begin_record,
    lock_user,
    locked_user,
    purge_nonces,
    require_quota,
    spend,
    spend_nonce,
)
from app.state.sql.database import Database
from app.state.sql.lost import close_lost, owners_of_lost
from app.state.sql.quota import charge, counted
from app.state.sql.records import columns
from app.state.sql.reports import UsageReports, report
from app.state.sql.secrets import SecretBox
from app.state.sql.tables import usage_records, user_secrets, users
from app.state.sql.usage_days import Ended, LateRecords, build_missing, settled
from app.state.sql.users import Changed, UnknownUser, UserDirectory

TURN_WITHIN_S = 3
"""How long a request waits for its turn. A transaction takes milliseconds."""

PURGED_PER_ADMISSION = 8  # more than the one that it adds, so that the expired ones get fewer
PURGED_PER_SWEEP = 1000  # in one transaction, so that it holds up nobody for long

_ACCOUNT = (
    select(users, user_secrets.c.secret)
    .outerjoin(user_secrets, user_secrets.c.user_id == users.c.id)
    .where(users.c.username == bindparam("username"))
    .order_by(user_secrets.c.id.desc())  # a rotation leaves no more than two
)
_THIS = usage_records.c.request_id == bindparam("this")
_OWNER = select(usage_records.c.user_id).where(_THIS).scalar_subquery()
_LOCK_OWNER = select(users.c.id).where(users.c.id == _OWNER).with_for_update()
_BEGUN = select(usage_records).where(_THIS).with_for_update()
_END = update(usage_records).where(_THIS)


class SqlStore:
    """Implements Accounts, Admission and UsageLog; `users` is the operator's side. Opens nothing until used.

    changed: told of each user whom the operator has changed.
    rate_per_minute, rate_burst: requests a user may send on average, and at once.
    user_share (0-1): of the transactions at once, that requests of one user may have.
    abandoned_after_s: longer than any request may take. A record that still runs after it was lost with its
    worker: it is closed with status 5 and gives its quota back, at the user's next admission or by `sweep`.
    """

    def __init__(
        self,
        database: Database,
        *,
        key_file: Path,
        clock: Clock,
        rate_per_minute: int,
        rate_burst: int,
        user_share: float,
        abandoned_after_s: float,
        keep_text: KeepText = "none",
        changed: Changed = lambda username, budget: None,
    ) -> None:
        self.database = database
        self.shown = database.shown  # its URL, without a password
        self._box = SecretBox(key_file)
        self._rate = Rate(per_minute=rate_per_minute, burst=rate_burst)
        self._shares = UserShares(
            database.writers,
            user_share,
            clock,
            what="turn at the database",
        )
        self.users = UserDirectory(self.database, self._box, clock, changed)
        self._clock = clock
        self._keep_text = keep_text
        self._abandoned_after_ms = math.ceil(abandoned_after_s * 1000)

    def create(self) -> None:
        """The key file, and where the database is our own file, that with its tables, as far as missing.

        Any number of processes may do so at once. Raises KeyFileError, and SchemaMismatch where the tables of
        a MySQL database are not those of this software: they are shared with machines that may run another.
        """
        self._box.load()
        if self.database.embedded:
            schema.upgrade(self.database)
            with suppress(DependencyUnavailable):  # a full disk, say; reports build the days that they need
                self._build_days(self.database)
        else:
            schema.check(self.database)

    def version(self) -> str | None:
        """Of the tables that are there; None where there are none. Raises DependencyUnavailable."""
        with self.database.read() as connection:
            return schema.version(connection)

    def check_version(self) -> None:
        """Raises SchemaMismatch, with the remedy."""
        schema.check(self.database)

    def upgrade(self) -> tuple[str | None, str]:
        """The key file and the tables, wherever they are; their versions before (None: none) and after."""
        self._box.load()
        with closing(self.database.patient()) as patient:
            versions = schema.upgrade(patient)
            self._build_days(patient)
            return versions

    def _build_days(self, database: Database) -> None:
        build_missing(database, 0, settled(self._now_ms()))

    def ping(self) -> None:
        """One cheap read of the file. Raises DependencyUnavailable."""
        with self.database.read() as connection:
            connection.execute(select(users.c.id).limit(1))

    def close(self) -> None:
        self.database.close()

    def remembered(self, username: str) -> None:
        """As ports.Accounts: nothing."""

    def cached(self, username: str) -> CachedAccount:
        """As ports.Accounts: nothing."""
        return CachedAccount()

    def find(self, username: str) -> Account | None:
        """As ports.Accounts. Raises DependencyUnavailable, also where a secret's key is lost."""
        sealed = self.sealed(username)
        return sealed and self.unsealed(sealed)

    def unsealed(self, account: Account) -> Account:
        """Raises DependencyUnavailable where a secret's key is lost."""
        return replace(account, secrets=tuple(map(self._box.decrypt, account.secrets)))

    def sealed(self, username: str) -> Account | None:
        """The user with its secrets as they are stored. Raises DependencyUnavailable."""
        if not username.isascii():  # MySQL will not compare it with a column of ASCII
            return None
        with self.database.read() as connection:
            rows = connection.execute(_ACCOUNT, {"username": username}).all()
        if not rows or rows[0].username != username:  # MySQL takes `alice ` for `alice` even so
            return None
        user = rows[0]
        return Account(
            user_id=user.id,
            username=user.username,
            secrets=tuple(row.secret for row in rows if row.secret is not None),
            enabled=user.enabled,
            allow_legacy_sign=user.allow_legacy_sign,
            quota_limit=user.quota_limit,
            quota_period=user.quota_period,
        )

    def admit(
        self, account: Account, claim: Claim, *, nonce_ttl_s: float, deadline: float = math.inf
    ) -> Quota:
        """As ports.Admission; the store's own time limits hold instead of the deadline.

        One transaction, which locks the user's row first: that keeps the steps together on MySQL as well,
        where writers do not wait for each other. A refusal undoes all of it, the nonce too, so that the same
        body may be sent again later.
        """
        now = self._now_ms()
        with self._in_turn(account.username) as connection:
            user = locked_user(connection, account)
            if close_lost(connection, user.id, begun_before=self._lost_before(now), now_ms=now):
                user = locked_user(connection, account)
            used, since = counted(user, now)
            if spend_nonce(connection, user.id, claim, now, now + math.ceil(nonce_ttl_s * 1000)):
                arrival = self._rate.next_arrival(user.rate_tat_us, now * 1000)
                used += 1
                require_quota(user, used, now)
                spend(connection, user, quota_used=used, period_started_at=since, rate_tat_us=arrival)
                begin_record(connection, user.id, claim, now)
                purge_nonces(connection, now, PURGED_PER_ADMISSION, user.id)
        limit = user.quota_limit
        return Quota(limit, None if limit is None else max(0, limit - used))

    def spend_nonce(self, account: Account, claim: Claim, *, nonce_ttl_s: float) -> None:
        """As ports.Nonces."""
        now = self._now_ms()
        with self._in_turn(account.username) as connection:
            user = locked_user(connection, account)
            if spend_nonce(connection, user.id, claim, now, now + math.ceil(nonce_ttl_s * 1000)):
                arrival = self._rate.next_arrival(user.rate_tat_us, now * 1000)
                spend(connection, user, rate_tat_us=arrival)
                purge_nonces(connection, now, PURGED_PER_ADMISSION, user.id)

    def finish(self, record: UsageRecord) -> None:
        """As ports.UsageLog. LookupError if admission began no such record: that is a bug of the caller.

        A record that was closed as lost is finished all the same, by a worker that was only slow: a
        recognised picture is then charged again, even beyond the limit, since the caller gets its answer.
        """
        this = {"this": record.request_id}
        with self._in_turn(record.username, ending=True) as connection:
            connection.execute(_LOCK_OWNER, this)
            begun = connection.execute(_BEGUN, this).one_or_none()
            if begun is None:
                raise LookupError(f"no usage record was begun for {record.request_id}")
            if begun.finished_at is not None:
                return
            now = self._now_ms()
            values = columns(record, keep_text=self._keep_text)
            connection.execute(_END, this | values | {"charged": record.charged, "finished_at": now})
            times = int(record.charged) - int(begun.charged)
            charge(connection, begun.user_id, times, begun.started_at)
            ended = Ended(
                begun.user_id, begun.started_at, record.status_code, record.characters, record.elapsed.total
            )
            late = LateRecords(now)
            late.enter(Ended.of(begun), ended)
            late.write(connection)

    @property
    def reports(self) -> UsageReports:
        return UsageReports(self.database, self.users, self._clock)

    def reports_apart(self, at_once: int) -> UsageReports:
        """With connections of their own, for so many reports at once: see Database.for_reports."""
        database = self.database.for_reports(at_once)
        return UsageReports(database, self.users.over(database), self._clock)

    def report(self, user_id: int | None, first: date, last: date) -> UsageReport:
        """As UsageReports.report."""
        return self.reports.report(user_id, first, last)

    def patient_report(self, username: str | None, first: date, last: date) -> UsageReport:
        """The same for an operator, however long it takes. Raises UnknownUser."""
        account = None if username is None else self.find(username)
        if username is not None and account is None:
            raise UnknownUser(username)
        user_id = account.user_id if account else None
        with closing(self.database.patient()) as patient:
            return report(patient, first=first, last=last, now_ms=self._now_ms(), user_id=user_id)

    def tail(self, count: int) -> list[Mapping[str, Any]]:
        """The newest usage records, newest first: the columns of usage_records by name."""
        query = select(usage_records).order_by(usage_records.c.started_at.desc()).limit(count)
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def sweep(self) -> int:
        """Close the records that were lost with their worker, forget expired nonces; how many were closed."""
        now = self._now_ms()
        with self.database.read() as connection:
            losers = owners_of_lost(connection, begun_before=self._lost_before(now))
        closed = 0
        for user_id in losers:
            with self.database.write() as connection:
                lock_user(connection, user_id)
                closed += close_lost(connection, user_id, begun_before=self._lost_before(now), now_ms=now)
        while True:
            with self.database.write() as connection:
                if purge_nonces(connection, now, PURGED_PER_SWEEP) < PURGED_PER_SWEEP:
                    return closed

    @contextmanager
    def _in_turn(self, username: str, *, ending: bool = False) -> Iterator[Connection]:
        """A transaction for a request, once it is its turn.

        Raises Busy where too many others are before it: they are served one after the other, so that is no
        fault of the database. ending: a request that ends comes before the user's other requests; where its
        turn does not come its end is not recorded, which is DependencyUnavailable as in ports.UsageLog.
        """
        wait_until = self._clock.monotonic() + TURN_WITHIN_S
        refusal = DependencyUnavailable if ending else Busy
        turn = self._shares.hold(username, wait_until, first=ending, refusal=refusal)
        with turn, self.database.write() as connection:
            yield connection

    def _lost_before(self, now: int) -> int:
        """Whatever began before and still runs was lost."""
        return now - self._abandoned_after_ms

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
