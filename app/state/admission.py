"""The steps of an admission, each in the one transaction that SqlStore.admit begins."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, and_, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError

from app.errors import NonceReplayed, QuotaExhausted, UserDisabled
from app.model import Account, OcrRequest
from app.state.quota import period_left_s
from app.state.tables import nonces, usage_records, users

ANSWER_LOST_MS = 10_000
"""A worker may die between the record of a recognised picture and its answer: Nginx asks again at once."""


def locked_user(connection: Connection, account: Account) -> Row[Any]:
    user = connection.execute(
        select(users).where(users.c.id == account.user_id).with_for_update()
    ).one_or_none()
    if user is None or not user.enabled:
        raise UserDisabled(account.username)
    return user


def lock_user(connection: Connection, user_id: int | ScalarSelect[int]) -> None:
    """For those who are about to lock its records: all writers lock the user first, so that no two of them
    wait for each other on MySQL. There may be no such user any more.
    """
    connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update())


def spend_nonce(connection: Connection, user_id: int, request: OcrRequest, now: int, until: int) -> bool:
    """False if this very request has spent it and may not have been answered: it is our own retry."""
    this = (nonces.c.user_id == user_id, nonces.c.nonce == request.nonce)
    spent = connection.execute(select(nonces).where(*this)).one_or_none()
    if spent is not None:
        if spent.expires_at > now:
            if spent.request_id == request.request_id and _unanswered(connection, request.request_id, now):
                return False
            raise NonceReplayed(f"spent by request {spent.request_id}")
        connection.execute(delete(nonces).where(*this))
    key = {"user_id": user_id, "nonce": request.nonce}
    connection.execute(insert(nonces).values(**key, request_id=request.request_id, expires_at=until))
    return True


def _unanswered(connection: Connection, request_id: str, now: int) -> bool:
    """It runs, or was recognised and charged a moment ago, so that its answer may have been lost."""
    runs = usage_records.c.status_code.is_(None)
    lost = and_(usage_records.c.charged, usage_records.c.finished_at > now - ANSWER_LOST_MS)
    this = (usage_records.c.request_id == request_id, or_(runs, lost))
    return connection.execute(select(usage_records.c.user_id).where(*this)).first() is not None


def require_quota(user: Row[Any], used: int, now: int) -> None:
    """used: with the request that asks. Raises QuotaExhausted, with the seconds until more is granted."""
    if user.quota_limit is not None and used > user.quota_limit:
        raise QuotaExhausted("nothing left", retry_after=period_left_s(user.quota_period, now))


def begin_record(connection: Connection, user_id: int, request: OcrRequest, now: int) -> None:
    """Raises NonceReplayed where there is one of this id: it is that of another nonce."""
    record = insert(usage_records).values(
        request_id=request.request_id,
        user_id=user_id,
        username=request.username,
        started_at=now,
        charged=True,
    )
    try:
        connection.execute(record)
    except IntegrityError as error:
        raise NonceReplayed(f"there is a record of request {request.request_id}") from error


def purge_nonces(connection: Connection, now: int, at_most: int, *condition: ColumnElement[bool]) -> int:
    """Read, then delete by key, so that MySQL locks no other rows. Returns how many there were."""
    query = select(nonces.c.user_id, nonces.c.nonce).where(nonces.c.expires_at <= now, *condition)
    expired: dict[int, list[str]] = {}
    for user_id, nonce in connection.execute(query.limit(at_most)):
        expired.setdefault(user_id, []).append(nonce)
    for user_id, names in expired.items():
        connection.execute(delete(nonces).where(nonces.c.user_id == user_id, nonces.c.nonce.in_(names)))
    return sum(map(len, expired.values()))
