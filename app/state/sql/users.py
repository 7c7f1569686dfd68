"""Users for the operator: their rights, their quotas and their secrets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.model.account import Period
from app.model.usage import UserQuota
from app.ports import Clock
from app.state.sql.database import Database
from app.state.sql.quota import charged_since, counted
from app.state.sql.quota_period import QuotaPeriod, period_start
from app.state.sql.secrets import SecretBox, SecretUnreadable, new_secret
from app.state.sql.tables import sign_in_codes, user_secrets, users

LISTED_AT_ONCE = 250
"""Users that one statement reads: a longer list would stop the loop of a worker."""

Changed = Callable[[str, QuotaPeriod | None], None]
"""Called after a change of a user: with its name, and with the period whose rows must be counted again."""


class DuplicateUser(ValueError):
    """A user of this name exists; the text is the name."""


class UnknownUser(LookupError):
    """No user has this name; the text is the name."""


@dataclass(frozen=True, slots=True)
class UserSummary:
    """quota_limit: recognitions granted in a period, None without limit. quota_used: in the current one.

    created_at: ms since 1970, UTC.
    """

    id: int
    username: str
    enabled: bool
    allow_legacy_sign: bool
    admin: bool
    quota_limit: int | None
    quota_period: Period
    quota_used: int
    created_at: int


class UserDirectory:
    """Every method raises DependencyUnavailable; those that name a user raise UnknownUser.

    changed: called once the change of a user is in the database.
    """

    def __init__(self, database: Database, box: SecretBox, clock: Clock, changed: Changed) -> None:
        self._changed = changed
        self._database = database
        self._box = box
        self._clock = clock

    def over(self, database: Database) -> UserDirectory:
        """The same users through the connections of another Database object."""
        return UserDirectory(database, self._box, self._clock, self._changed)

    def add(
        self,
        username: str,
        *,
        quota_limit: int | None = None,
        quota_period: Period = "none",
        allow_legacy_sign: bool = False,
        admin: bool = False,
        secret: str | None = None,
    ) -> str:
        """Returns the secret, by default a new one, which cannot be read again. Raises DuplicateUser."""
        user = insert(users).values(
            username=username,
            enabled=True,
            allow_legacy_sign=allow_legacy_sign,
            admin=admin,
            quota_limit=quota_limit,
            quota_period=quota_period,
            quota_used=0,
            rate_tat_us=0,
            created_at=self._now_ms(),
        )
        with self._database.write() as connection:
            try:
                user_id = connection.execute(user).lastrowid
            except IntegrityError:
                raise DuplicateUser(username) from None
            return self._add_secret(connection, user_id, secret or new_secret(), self._now_ms())

    def any(self) -> bool:
        """Whether any user exists."""
        with self._database.read() as connection:
            return connection.execute(select(users.c.id).limit(1)).first() is not None

    def list(self) -> list[UserSummary]:
        """All users, sorted by name."""
        now = self._now_ms()
        found: list[UserSummary] = []
        page = select(users).where(users.c.id > bindparam("after")).order_by(users.c.id).limit(LISTED_AT_ONCE)
        with self._database.read() as connection:
            while rows := connection.execute(page, {"after": found[-1].id if found else 0}).all():
                found += [_summary(user, now) for user in rows]
        return sorted(found, key=lambda user: user.username)

    def quota(self, username: str) -> UserQuota:
        """The limit, the used part and the rest of the current period. Raises UnknownUser."""
        with self._database.read() as connection:
            user = connection.execute(select(users).where(users.c.username == username)).one_or_none()
        if user is None:
            raise UnknownUser(username)
        return quota_of(_summary(user, self._now_ms()))

    def is_admin(self, username: str) -> bool:
        """Whether the user may see the usage of all users."""
        query = select(users.c.admin).where(users.c.username == username)
        with self._database.read() as connection:
            return bool(connection.scalar(query))

    def set_admin(self, username: str, admin: bool) -> None:
        self._set(username, admin=admin)

    def set_enabled(self, username: str, enabled: bool) -> None:
        self._set(username, enabled=enabled)

    def set_quota(self, username: str, limit: int | None, period: Period | None = None) -> UserSummary:
        """limit: recognitions in a period, including those already used in it; None for no limit.

        period: None keeps the current kind. For another kind, the used part is counted from the records.
        """
        now = self._now_ms()
        with self._database.write() as connection:
            this = select(users).where(users.c.username == username)
            user = connection.execute(this.with_for_update()).one_or_none()
            if user is None:
                raise UnknownUser(username)
            values: dict[str, Any] = {"quota_limit": limit}
            if period not in (None, user.quota_period):
                since = period_start(period, now)
                used = charged_since(connection, user.id, since)
                values |= {"quota_period": period, "period_started_at": since, "quota_used": used}
            connection.execute(update(users).where(users.c.id == user.id).values(values))
            changed = connection.execute(this).one()
        self._changed(username, QuotaPeriod.at(user.id, changed.quota_period, now))
        return _summary(changed, now)

    def set_legacy_sign(self, username: str, allowed: bool) -> None:
        self._set(username, allow_legacy_sign=allowed)

    def rotate_secret(self, username: str, show: Callable[[str], None] = lambda secret: None) -> str:
        """Returns a new secret. The newest previous secret stays valid, older ones are deleted.

        show: called with the secret once it is in the database, before `changed`, which may fail. An operator
        who never saw the secret would rotate again, and so delete the only secret that the user knows.

        The previous secret is encrypted again, so that a rotation also retires an old key. A secret that
        cannot be decrypted is deleted, so that a rotation also helps after the key was lost.
        """
        with self._database.write() as connection:
            this = select(users.c.id).where(users.c.username == username).with_for_update()
            user_id = connection.scalar(this)
            if user_id is None:
                raise UnknownUser(username)
            mine = user_secrets.c.user_id == user_id
            newest = select(user_secrets).where(mine).order_by(user_secrets.c.id.desc()).limit(1)
            previous = connection.execute(newest).one()
            connection.execute(delete(user_secrets).where(mine))
            # A leaked link must not give access to the new secret.
            connection.execute(delete(sign_in_codes).where(sign_in_codes.c.user_id == user_id))
            with suppress(SecretUnreadable):
                self._add_secret(connection, user_id, self._box.decrypt(previous.secret), previous.created_at)
            secret = self._add_secret(connection, user_id, new_secret(), self._now_ms())
        show(secret)
        self._changed(username, None)
        return secret

    def _add_secret(self, connection: Connection, user_id: int, secret: str, created_at: int) -> str:
        row = {"user_id": user_id, "secret": self._box.encrypt(secret), "created_at": created_at}
        connection.execute(insert(user_secrets).values(row))
        return secret

    def _set(self, username: str, **values: bool | int | None) -> None:
        with self._database.write() as connection:
            this = update(users).where(users.c.username == username)
            if connection.execute(this.values(values)).rowcount == 0:
                raise UnknownUser(username)
        self._changed(username, None)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def quota_of(user: UserSummary) -> UserQuota:
    limit, used = user.quota_limit, user.quota_used
    return UserQuota(user.quota_period, limit, used, None if limit is None else max(0, limit - used))


def _summary(user: Row[Any], now: int) -> UserSummary:
    used, _ = counted(user, now)
    return UserSummary(
        id=user.id,
        username=user.username,
        enabled=user.enabled,
        allow_legacy_sign=user.allow_legacy_sign,
        admin=user.admin,
        quota_limit=user.quota_limit,
        quota_period=user.quota_period,
        quota_used=used,
        created_at=user.created_at,
    )
