"""The operator's side of the users: who they are, what they may, and their secrets."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.ports import Clock
from app.state.database import Database
from app.state.secrets import SecretBox, SecretUnreadable, new_secret
from app.state.tables import user_secrets, users


class DuplicateUser(ValueError):
    """There is a user of this name; the text is the name."""


class UnknownUser(LookupError):
    """There is no user of this name; the text is the name."""


@dataclass(frozen=True, slots=True)
class UserSummary:
    """quota_limit: recognitions granted in all, None without limit. created_at: ms since 1970, UTC."""

    username: str
    enabled: bool
    allow_legacy_sign: bool
    quota_limit: int | None
    quota_used: int
    created_at: int


class UserDirectory:
    """Every method raises DependencyUnavailable; those that name a user raise UnknownUser."""

    def __init__(self, database: Database, box: SecretBox, clock: Clock) -> None:
        self._database = database
        self._box = box
        self._clock = clock

    def add(self, username: str, *, quota_limit: int | None = None, allow_legacy_sign: bool = False) -> str:
        """The new user's secret, to be shown once: it cannot be read back. Raises DuplicateUser."""
        user = insert(users).values(
            username=username,
            enabled=True,
            allow_legacy_sign=allow_legacy_sign,
            quota_limit=quota_limit,
            quota_used=0,
            rate_tat_us=0,
            created_at=self._now_ms(),
        )
        with self._database.write() as connection:
            try:
                user_id = connection.execute(user).lastrowid
            except IntegrityError:
                raise DuplicateUser(username) from None
            return self._add_secret(connection, user_id, new_secret(), self._now_ms())

    def list(self) -> list[UserSummary]:
        query = select(*(users.c[name] for name in UserSummary.__slots__)).order_by(users.c.username)
        with self._database.read() as connection:
            return [UserSummary(*row) for row in connection.execute(query)]

    def set_enabled(self, username: str, enabled: bool) -> None:
        self._set(username, enabled=enabled)

    def set_quota(self, username: str, limit: int | None) -> None:
        """limit: recognitions granted in all, those already used among them; None is without limit."""
        self._set(username, quota_limit=limit)

    def set_legacy_sign(self, username: str, allowed: bool) -> None:
        self._set(username, allow_legacy_sign=allowed)

    def rotate_secret(self, username: str) -> str:
        """A new secret beside the newest one so far; any older one stops working.

        The one that is kept is encrypted again, so that a rotation also ends the use of an old key; one that
        cannot be read goes, so that a rotation also helps where the key is lost.
        """
        with self._database.write() as connection:
            this = select(users.c.id).where(users.c.username == username).with_for_update()
            user_id = connection.scalar(this)
            if user_id is None:
                raise UnknownUser(username)
            mine = user_secrets.c.user_id == user_id
            newest = select(user_secrets).where(mine).order_by(user_secrets.c.id.desc()).limit(1)
            kept = connection.execute(newest).one()
            connection.execute(delete(user_secrets).where(mine))
            with suppress(SecretUnreadable):
                self._add_secret(connection, user_id, self._box.decrypt(kept.secret), kept.created_at)
            return self._add_secret(connection, user_id, new_secret(), self._now_ms())

    def _add_secret(self, connection: Connection, user_id: int, secret: str, created_at: int) -> str:
        row = {"user_id": user_id, "secret": self._box.encrypt(secret), "created_at": created_at}
        connection.execute(insert(user_secrets).values(row))
        return secret

    def _set(self, username: str, **values: bool | int | None) -> None:
        with self._database.write() as connection:
            this = update(users).where(users.c.username == username)
            if connection.execute(this.values(values)).rowcount == 0:
                raise UnknownUser(username)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
