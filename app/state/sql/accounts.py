"""A user as authentication needs it, read from the database."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from app.model.account import Account
from app.state.sql.database import Database
from app.state.sql.tables import user_secrets, users

_ACCOUNT = (
    select(users, user_secrets.c.secret)
    .outerjoin(user_secrets, user_secrets.c.user_id == users.c.id)
    .where(users.c.username == bindparam("username"))
    .order_by(user_secrets.c.id.desc())  # a rotation leaves no more than two
)


def sealed_account(database: Database, username: str) -> Account | None:
    """The user with its secrets as they are stored: encrypted. Raises DependencyUnavailable."""
    if not username.isascii():  # MySQL refuses to compare such a name with an ASCII column
        return None
    with database.read() as connection:
        rows = connection.execute(_ACCOUNT, {"username": username}).all()
    if not rows or rows[0].username != username:  # MySQL ignores trailing spaces: `alice ` finds `alice`
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
