"""Accounts, admission and usage in one SQL database.

A user's quota_used is the number of its charged usage records of the current period. A record is charged when
it starts; the charge is taken back if it ends without a recognised picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from app.errors import Busy, DependencyUnavailable
from app.limits.rate import Rate
from app.limits.shares import UserShares
from app.model.account import Account, CachedAccount, Quota
from app.model.claim import Claim
from app.model.usage import KeepText, UsageRecord, UsageReport
from app.ports import Clock
from app.state.sql import schema
from app.state.sql.accounts import sealed_account
from app.state.sql.admission import (
    begin_record,
    locked_user,
    purge_nonces,
    require_quota,
    spend,
    spend_nonce,
)
from app.state.sql.database import Database
from app.state.sql.ending import end_record
from app.state.sql.lost import close_all_lost, close_lost
from app.state.sql.quota import counted
from app.state.sql.reports import UsageReports, report
from app.state.sql.secrets import SecretBox
from app.state.sql.tables import usage_records, users
from app.state.sql.usage_days import build_missing, settled
from app.state.sql.usage_row import columns
from app.state.sql.users import Changed, UnknownUser, UserDirectory

TURN_WITHIN_S = 3
"""How long a request waits for other transactions. One transaction takes milliseconds."""

PURGED_PER_ADMISSION = 8
"""Expired nonces; more than the one nonce that an admission adds, so that their number falls."""

PURGED_PER_SWEEP = 1000
"""Expired nonces in one transaction, so that it delays no request for long."""


class SqlStore:
    """Implements Accounts, Admission and UsageLog; `users` is for the operator. Opens nothing until used.

    changed: called after the operator has changed a user.
    rate_per_minute, rate_burst: requests a user may send on average, and at once.
    user_share (0-1): part of the concurrent transactions that the requests of one user may use.
    abandoned_after_s: longer than any request may take. A record that runs longer was lost with its worker:
    it is closed with status 5 and its charge is taken back, at the user's next admission or by `sweep`.
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
        changed: Changed = lambda username, period: None,
    ) -> None:
        self.database = database
        self.shown = database.shown  # its URL, without a password
        self._box = SecretBox(key_file)
        self._rate = Rate(per_minute=rate_per_minute, burst=rate_burst)
        self._shares = UserShares(database.writers, user_share, clock, what="turn at the database")
        self.users = UserDirectory(self.database, self._box, clock, changed)
        self._clock = clock
        self._keep_text = keep_text
        self._abandoned_after_ms = math.ceil(abandoned_after_s * 1000)

    def create(self) -> None:
        """Create what is missing: the key file, and an embedded database with its tables.

        Any number of processes may do so at once. Raises KeyFileError, and SchemaMismatch if a MySQL
        database has the tables of another release: other machines may run that release.
        """
        self._box.load()
        if self.database.embedded:
            schema.upgrade(self.database)
            with suppress(DependencyUnavailable):  # such as a full disk; reports build the days they need
                build_missing(self.database, 0, settled(self._now_ms()))
        else:
            schema.check(self.database)

    def version(self) -> str | None:
        """That of the tables in the database; None without tables. Raises DependencyUnavailable."""
        with self.database.read() as connection:
            return schema.version(connection)

    def check_version(self) -> None:
        """Raises SchemaMismatch, with the remedy."""
        schema.check(self.database)

    def upgrade(self) -> tuple[str | None, str]:
        """Create or upgrade the tables and the key file. Returns the version before (or None) and after."""
        self._box.load()
        with closing(self.database.patient()) as patient:
            versions = schema.upgrade(patient)
            build_missing(patient, 0, settled(self._now_ms()))
            return versions

    def ping(self) -> None:
        """One cheap query. Raises DependencyUnavailable."""
        with self.database.read() as connection:
            connection.execute(select(users.c.id).limit(1))

    def close(self) -> None:
        self.database.close()

    def remembered(self, username: str) -> None:
        """As ports.Accounts: this store has no cache."""

    def cached(self, username: str) -> CachedAccount:
        """As ports.Accounts: this store has no cache."""
        return CachedAccount()

    def find(self, username: str) -> Account | None:
        """As ports.Accounts. Raises DependencyUnavailable, also where the key of a secret is lost."""
        sealed = self.sealed(username)
        return sealed and self.unsealed(sealed)

    def unsealed(self, account: Account) -> Account:
        """The same user with its secrets decrypted. Raises DependencyUnavailable where their key is lost."""
        return replace(account, secrets=tuple(map(self._box.decrypt, account.secrets)))

    def sealed(self, username: str) -> Account | None:
        """The user with its secrets encrypted. Raises DependencyUnavailable."""
        return sealed_account(self.database, username)

    def admit(
        self, account: Account, claim: Claim, *, nonce_ttl_s: float, deadline: float = math.inf
    ) -> Quota:
        """As ports.Admission; also raises UserDisabled if the user was disabled or deleted meanwhile.

        One transaction, which locks the user's row first, because on MySQL writers do not exclude each other.
        A refusal undoes everything, the nonce included, so the same body may be sent again later.
        """
        now = self._now_ms()
        with self._in_turn(account.username) as connection:
            user = locked_user(connection, account)
            if close_lost(connection, user.id, started_before=self._lost_before(now), now_ms=now):
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
        """As ports.UsageLog. Raises LookupError if admission began no such record: a bug of the caller.

        A slow worker may finish a record that was closed as lost. A recognised picture is then charged
        again, even beyond the limit, since the caller gets its answer.
        """
        values = columns(record, keep_text=self._keep_text)
        with self._in_turn(record.username, ending=True) as connection:
            end_record(connection, record, values, self._now_ms())

    @property
    def reports(self) -> UsageReports:
        return UsageReports(self.database, self.users, self._clock)

    def reports_apart(self, at_once: int) -> UsageReports:
        """Reports with their own connections, for this many at once: see Database.for_reports."""
        database = self.database.for_reports(at_once)
        return UsageReports(database, self.users.over(database), self._clock)

    def report(self, user_id: int | None, first: date, last: date) -> UsageReport:
        """As UsageReports.report."""
        return self.reports.report(user_id, first, last)

    def patient_report(self, username: str | None, first: date, last: date) -> UsageReport:
        """The same by user name for the operator, without a limit of time. Raises UnknownUser."""
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
        """Close lost records and delete expired nonces. Returns how many records were closed."""
        now = self._now_ms()
        closed = close_all_lost(self.database, started_before=self._lost_before(now), now_ms=now)
        while True:
            with self.database.write() as connection:
                if purge_nonces(connection, now, PURGED_PER_SWEEP) < PURGED_PER_SWEEP:
                    return closed

    @contextmanager
    def _in_turn(self, username: str, *, ending: bool = False) -> Iterator[Connection]:
        """A transaction for a request, after those that were waiting before it.

        ending: the request goes before the user's other requests. Raises Busy if the wait is too long; for an
        ending request DependencyUnavailable, as in ports.UsageLog, because its end is not recorded.
        """
        wait_until = self._clock.monotonic() + TURN_WITHIN_S
        refusal = DependencyUnavailable if ending else Busy
        turn = self._shares.hold(username, wait_until, first=ending, refusal=refusal)
        with turn, self.database.write() as connection:
            yield connection

    def _lost_before(self, now: int) -> int:
        """A record that started before this moment and still runs was lost."""
        return now - self._abandoned_after_ms

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
