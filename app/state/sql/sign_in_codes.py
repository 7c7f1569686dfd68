"""One-time codes: `flask users link` issues one, and the first browser that opens the link spends it."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import and_, bindparam, delete, insert, select

from app.ports import Clock
from app.state.sql.database import Database
from app.state.sql.tables import sign_in_codes, users
from app.state.sql.users import UnknownUser

CODE_BYTES = 16

_VALID = and_(
    sign_in_codes.c.code_sha256 == bindparam("digest"), sign_in_codes.c.expires_at > bindparam("now")
)
_OWNER = select(users.c.username).join_from(sign_in_codes, users).where(_VALID)
_SPEND = delete(sign_in_codes).where(_VALID)
_EXPIRED = delete(sign_in_codes).where(sign_in_codes.c.expires_at <= bindparam("now"))


class SignInCodes:
    """Implements ports.SignInCodes in the database that all workers share, with or without Redis.

    valid_s: lifetime of a code. Every method raises DependencyUnavailable.
    """

    def __init__(self, database: Database, *, valid_s: int, clock: Clock) -> None:
        self._database = database
        self._valid_s = valid_s
        self._clock = clock

    def issue(self, username: str) -> str:
        """Returns a new code of 32 hex digits. Deletes all users' expired codes. Raises UnknownUser."""
        code = secrets.token_hex(CODE_BYTES)
        now = self._now_ms()
        with self._database.write() as connection:
            user_id = connection.scalar(select(users.c.id).where(users.c.username == username))
            if user_id is None:
                raise UnknownUser(username)
            connection.execute(_EXPIRED, {"now": now})
            expires_at = now + self._valid_s * 1000
            row = {"code_sha256": _digest(code), "user_id": user_id, "expires_at": expires_at}
            connection.execute(insert(sign_in_codes).values(row))
        return code

    def owner(self, code: str) -> str | None:
        """As ports.SignInCodes."""
        with self._database.read() as connection:
            return connection.scalar(_OWNER, self._valid(code))

    def spend(self, code: str) -> bool:
        """As ports.SignInCodes. One statement: of several callers, the one that deletes the row succeeds."""
        with self._database.write() as connection:
            return connection.execute(_SPEND, self._valid(code)).rowcount == 1

    def _valid(self, code: str) -> dict[str, str | int]:
        return {"digest": _digest(code), "now": self._now_ms()}

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _digest(code: str) -> str:
    """A plain hash is enough: 128 random bits cannot be guessed, so salt and a slow hash add nothing."""
    return hashlib.sha256(code.encode()).hexdigest()
