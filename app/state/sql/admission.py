"""The steps of an admission, all in the one transaction that SqlStore.admit begins.

The statements are built at import: SQLAlchemy takes longer to build one than SQLite to run it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.errors import NonceReplayed, QuotaExhausted, UserDisabled
from app.model.account import Account
from app.model.claim import Claim
from app.state.sql.quota_period import period_left_s
from app.state.sql.tables import nonces, usage_records, users

ANSWER_LOST_MS = 10_000
"""A worker may die between the record of a recognised picture and its answer. Nginx then retries at once, so
a retry within this time is admitted without another charge.
"""

_USER = select(users).where(users.c.id == bindparam("user_id")).with_for_update()
_SPEND = update(users).where(users.c.id == bindparam("this"))
_NONCE = nonces.c.user_id == bindparam("user_id"), nonces.c.nonce == bindparam("nonce")
_SPENT = select(nonces).where(*_NONCE)
_KEEP = insert(nonces)
_FORGET = delete(nonces).where(*_NONCE)
_FORGET_MANY = delete(nonces).where(
    nonces.c.user_id == bindparam("user_id"), nonces.c.nonce.in_(bindparam("names", expanding=True))
)
_EXPIRED = (
    select(nonces.c.user_id, nonces.c.nonce)
    .where(nonces.c.expires_at <= bindparam("now"))
    .limit(bindparam("at_most"))
)
_EXPIRED_OF_ONE = _EXPIRED.where(nonces.c.user_id == bindparam("user_id"))
_ANSWER_LOST = and_(usage_records.c.charged, usage_records.c.finished_at > bindparam("lost_since"))
_UNANSWERED = select(usage_records.c.user_id).where(
    usage_records.c.request_id == bindparam("request_id"),
    or_(usage_records.c.status_code.is_(None), _ANSWER_LOST),
)
_BEGIN = insert(usage_records)


def locked_user(connection: Connection, account: Account) -> Row[Any]:
    """The user's row, locked until the transaction ends. Raises UserDisabled, also for a deleted user."""
    user = connection.execute(_USER, {"user_id": account.user_id}).one_or_none()
    if user is None or not user.enabled:
        raise UserDisabled(account.username)
    return user


def lock_user(connection: Connection, user_id: int) -> None:
    """Call it before locking the user's records: all writers lock the user first, so that they cannot
    deadlock on MySQL. The user may have been deleted.
    """
    connection.execute(_USER, {"user_id": user_id})


def spend(connection: Connection, user: Row[Any], **spent: int) -> None:
    """spent: new values of columns of `users`."""
    connection.execute(_SPEND, {"this": user.id, **spent})


def spend_nonce(connection: Connection, user_id: int, claim: Claim, now: int, until: int) -> bool:
    """False for our own proxy's retry: the same request spent the nonce and may not have been answered.

    now, until (when the nonce expires): ms since 1970. Raises NonceReplayed.
    """
    this = {"user_id": user_id, "nonce": claim.nonce}
    spent = connection.execute(_SPENT, this).one_or_none()
    if spent is not None:
        if spent.expires_at > now:
            if spent.request_id == claim.request_id and _unanswered(connection, claim.request_id, now):
                return False
            raise NonceReplayed(f"spent by request {spent.request_id}")
        connection.execute(_FORGET, this)
    connection.execute(_KEEP, {**this, "request_id": claim.request_id, "expires_at": until})
    return True


def _unanswered(connection: Connection, request_id: str, now: int) -> bool:
    """Whether the request runs, or was charged so recently that its answer may have been lost."""
    this = {"request_id": request_id, "lost_since": now - ANSWER_LOST_MS}
    return connection.execute(_UNANSWERED, this).first() is not None


def require_quota(user: Row[Any], used: int, now: int) -> None:
    """used: including this request. Raises QuotaExhausted, with the seconds until the next period."""
    if user.quota_limit is not None and used > user.quota_limit:
        raise QuotaExhausted("nothing left", retry_after=period_left_s(user.quota_period, now))


def begin_record(connection: Connection, user_id: int, claim: Claim, now: int) -> None:
    """Raises NonceReplayed if the id belongs to a request with another nonce."""
    record = {
        "request_id": claim.request_id,
        "user_id": user_id,
        "username": claim.username,
        "started_at": now,
        "charged": True,
    }
    try:
        connection.execute(_BEGIN, record)
    except IntegrityError as error:
        raise NonceReplayed(f"there is a record of request {claim.request_id}") from error


def purge_nonces(connection: Connection, now: int, at_most: int, user_id: int | None = None) -> int:
    """Delete expired nonces of one user or of all. Returns their number.

    Reads them first and deletes by key, so that MySQL locks no other rows.
    """
    query = _EXPIRED if user_id is None else _EXPIRED_OF_ONE
    expired: dict[int, list[str]] = {}
    for owner, nonce in connection.execute(query, {"now": now, "at_most": at_most, "user_id": user_id}):
        expired.setdefault(owner, []).append(nonce)
    for owner, names in expired.items():
        connection.execute(_FORGET_MANY, {"user_id": owner, "names": names})
    return sum(map(len, expired.values()))
