"""Accounts, admission and usage in one SQL database.

A user's quota_used is the number of its usage records that are charged. A record is charged when it is begun,
and gives that back when it ends otherwise than with a recognised picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from app.errors import NonceReplayed, OcrFailed, QuotaExhausted, UserDisabled
from app.model import Account, OcrRequest, Quota, UsageRecord
from app.ports import Clock
from app.state.database import Database
from app.state.quota import charge
from app.state.rate import Rate
from app.state.records import columns
from app.state.secrets import SecretBox
from app.state.tables import metadata, nonces, usage_records, user_secrets, users
from app.state.users import UserDirectory

PURGED_PER_ADMISSION = 8  # more than the one that it adds, so that the expired ones get fewer
PURGED_PER_SWEEP = 1000  # in one transaction, so that it holds up nobody for long


class SqlStore:
    """Implements Accounts, Admission and UsageLog; `users` is the operator's side. Opens nothing until used.

    rate_per_minute, rate_burst: requests a user may send on average, and at once.
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
        abandoned_after_s: float,
    ) -> None:
        self.database = database
        self.shown = database.shown  # its URL, without a password
        self._box = SecretBox(key_file)
        self._rate = Rate(per_minute=rate_per_minute, burst=rate_burst)
        self.users = UserDirectory(self.database, self._box, clock)
        self._clock = clock
        self._abandoned_after_ms = math.ceil(abandoned_after_s * 1000)

    def create(self) -> None:
        """The key file, the database and its tables, as far as they are missing; raises KeyFileError.

        Any number of processes may do so at once: the write lock makes one of them the first.
        """
        self._box.load()
        with self.database.write() as connection:
            metadata.create_all(connection)

    def ping(self) -> None:
        """One cheap read of the file. Raises DependencyUnavailable."""
        with self.database.read() as connection:
            connection.execute(select(users.c.id).limit(1))

    def close(self) -> None:
        self.database.close()

    def find(self, username: str) -> Account | None:
        """As ports.Accounts. Raises DependencyUnavailable, also where a secret's key is lost."""
        if not username.isascii():  # MySQL will not compare it with a column of ASCII
            return None
        query = (
            select(users, user_secrets.c.secret)
            .outerjoin(user_secrets, user_secrets.c.user_id == users.c.id)
            .where(users.c.username == username)
            .order_by(user_secrets.c.id.desc())  # a rotation leaves no more than two
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        if not rows or rows[0].username != username:  # MySQL takes `alice ` for `alice` even so
            return None
        user = rows[0]
        return Account(
            user_id=user.id,
            username=user.username,
            secrets=tuple(self._box.decrypt(row.secret) for row in rows if row.secret is not None),
            enabled=user.enabled,
            allow_legacy_sign=user.allow_legacy_sign,
            quota_limit=user.quota_limit,
        )

    def admit(self, account: Account, request: OcrRequest, *, nonce_ttl_s: float) -> Quota:
        """As ports.Admission; raises UserDisabled too, where the user was disabled or deleted meanwhile.

        One transaction, which locks the user's row first: that keeps the steps together on MySQL as well,
        where writers do not wait for each other. A refusal undoes all of it, the nonce too, so that the same
        body may be sent again later.
        """
        now = self._now_ms()
        with self.database.write() as connection:
            row = select(users).where(users.c.id == account.user_id).with_for_update()
            user = connection.execute(row).one_or_none()
            if user is None or not user.enabled:
                raise UserDisabled(account.username)
            used = user.quota_used - self._close_lost(connection, user.id, now)
            if _spend_nonce(connection, user.id, request, now, now + math.ceil(nonce_ttl_s * 1000)):
                arrival = self._rate.next_arrival(user.rate_tat_us, now * 1000)
                _spend_quota(connection, user.id, arrival)
                _begin_record(connection, user.id, request, now)
                _purge_nonces(connection, now, PURGED_PER_ADMISSION, nonces.c.user_id == user.id)
                used += 1
        limit = user.quota_limit
        return Quota(limit, None if limit is None else max(0, limit - used))

    def finish(self, record: UsageRecord) -> None:
        """As ports.UsageLog. LookupError if admission began no such record: that is a bug of the caller.

        A record that was closed as lost is finished all the same, by a worker that was only slow: a
        recognised picture is then charged again, even beyond the limit, since the caller gets its answer.
        """
        this = usage_records.c.request_id == record.request_id
        with self.database.write() as connection:
            begun = connection.execute(select(usage_records).where(this).with_for_update()).one_or_none()
            if begun is None:
                raise LookupError(f"no usage record was begun for {record.request_id}")
            if begun.finished_at is not None:
                return
            values = columns(record) | {"charged": record.charged, "finished_at": self._now_ms()}
            connection.execute(update(usage_records).where(this).values(values))
            charge(connection, begun.user_id, int(record.charged) - int(begun.charged))

    def tail(self, count: int) -> list[Mapping[str, Any]]:
        """The newest usage records, newest first: the columns of usage_records by name."""
        query = select(usage_records).order_by(usage_records.c.started_at.desc()).limit(count)
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def sweep(self) -> int:
        """Close the records that were lost with their worker, forget expired nonces; how many were closed."""
        now = self._now_ms()
        with self.database.read() as connection:
            losers = connection.scalars(
                select(usage_records.c.user_id).where(self._lost(now)).distinct()
            ).all()
        closed = 0
        for user_id in losers:
            with self.database.write() as connection:
                closed += self._close_lost(connection, user_id, now)
        while True:
            with self.database.write() as connection:
                if _purge_nonces(connection, now, PURGED_PER_SWEEP) < PURGED_PER_SWEEP:
                    return closed

    def _lost(self, now: int) -> ColumnElement[bool]:
        running = usage_records.c.status_code.is_(None)
        return and_(running, usage_records.c.started_at < now - self._abandoned_after_ms)

    def _close_lost(self, connection: Connection, user_id: int, now: int) -> int:
        """finished_at stays NULL: nobody has reported, so a late report still counts.

        Looked for without a lock, so as not to wait for those who end other records of this user.
        """
        mine = select(usage_records.c.request_id).where(usage_records.c.user_id == user_id, self._lost(now))
        lost = connection.scalars(mine).all()
        if not lost:
            return 0
        closing = update(usage_records).where(usage_records.c.request_id.in_(lost), self._lost(now))
        closed = connection.execute(closing.values(status_code=OcrFailed.status_code, charged=False)).rowcount
        charge(connection, user_id, -closed)
        return closed

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _spend_nonce(connection: Connection, user_id: int, request: OcrRequest, now: int, until: int) -> bool:
    """False if this very request has spent it already: it is our own retry."""
    this = (nonces.c.user_id == user_id, nonces.c.nonce == request.nonce)
    spent = connection.execute(select(nonces).where(*this)).one_or_none()
    if spent is not None:
        if spent.expires_at > now:
            if spent.request_id == request.request_id:
                return False
            raise NonceReplayed(f"spent by request {spent.request_id}")
        connection.execute(delete(nonces).where(*this))
    key = {"user_id": user_id, "nonce": request.nonce}
    connection.execute(insert(nonces).values(**key, request_id=request.request_id, expires_at=until))
    return True


def _spend_quota(connection: Connection, user_id: int, arrival_us: int) -> None:
    left = or_(users.c.quota_limit.is_(None), users.c.quota_used < users.c.quota_limit)
    spend = update(users).where(users.c.id == user_id, left)
    values = {"quota_used": users.c.quota_used + 1, "rate_tat_us": arrival_us}
    if connection.execute(spend.values(values)).rowcount == 0:
        raise QuotaExhausted("nothing left")


def _begin_record(connection: Connection, user_id: int, request: OcrRequest, now: int) -> None:
    connection.execute(
        insert(usage_records).values(
            request_id=request.request_id,
            user_id=user_id,
            username=request.username,
            started_at=now,
            charged=True,
        )
    )


def _purge_nonces(connection: Connection, now: int, at_most: int, *condition: ColumnElement[bool]) -> int:
    """Read, then delete by key, so that MySQL locks no other rows. Returns how many there were."""
    query = select(nonces.c.user_id, nonces.c.nonce).where(nonces.c.expires_at <= now, *condition)
    expired: dict[int, list[str]] = {}
    for user_id, nonce in connection.execute(query.limit(at_most)):
        expired.setdefault(user_id, []).append(nonce)
    for user_id, names in expired.items():
        connection.execute(delete(nonces).where(nonces.c.user_id == user_id, nonces.c.nonce.in_(names)))
    return sum(map(len, expired.values()))
