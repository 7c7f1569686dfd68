"""What a user has used of its quota."""

from __future__ import annotations

from sqlalchemy import Connection, update

from app.state.tables import users


def charge(connection: Connection, user_id: int, times: int) -> None:
    """Change quota_used along with the charged records of a transaction; times may be negative."""
    if times:
        mine = update(users).where(users.c.id == user_id)
        connection.execute(mine.values(quota_used=users.c.quota_used + times))
