"""Users in Redis, as the database has them (secrets stay encrypted), and in the process for a moment."""

from __future__ import annotations

import json
from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict, dataclass

from app.errors import DependencyUnavailable
from app.model import Account
from app.ports import Clock
from app.state.held import ACCOUNTS, ACCOUNTS_VERSION
from app.state.redis_link import RedisLink, Script
from app.state.sql import SqlStore

KEPT_S = 0.5
"""How long a process does not ask Redis again: a user who is disabled stops within this on all nodes."""

READ_ANEW_S = 60
"""When a user is read from the database again, in case somebody changed it there by hand."""

LEFT_ALONE_S = 5
"""How long the database is not asked about users that are known, once it has not answered."""

KEPT_IN_PROCESS = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """text: as it is in Redis. until: on the monotonic clock."""

    text: str
    account: Account
    until: float


class CachedAccounts:
    """Implements Accounts. While the database is down, users who are in Redis stay as they are there."""

    def __init__(self, link: RedisLink, sql: SqlStore, clock: Clock) -> None:
        self._link = link
        self._sql = sql
        self._clock = clock
        self._remember = Script(link, "remember")
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._database_from = 0.0

    def find(self, username: str) -> Account | None:
        """As ports.Accounts. Raises DependencyUnavailable."""
        now = self._clock.monotonic()
        kept = self._kept.get(username)
        if kept is not None and now < kept.until:
            return kept.account
        text = self._link.ask("HGET", ACCOUNTS, username)
        if text is None:
            text = self._read(username)
        elif now >= self._database_from and self._is_old(text):
            self._database_from = now + LEFT_ALONE_S  # for the others, too, while this one asks
            with suppress(DependencyUnavailable):
                text = self._read(username)
                self._database_from = 0.0
        if text is None:
            self._kept.pop(username, None)
            return None
        if kept is not None and kept.text == text:
            account = kept.account
        else:
            account = self._sql.unsealed(_account(text))
        self._kept[username] = Kept(text, account, now + KEPT_S)
        self._kept.move_to_end(username)
        if len(self._kept) > KEPT_IN_PROCESS:
            self._kept.popitem(last=False)
        return account

    def _read(self, username: str) -> str | None:
        version = self._link.ask("GET", ACCOUNTS_VERSION)
        account = self._sql.sealed(username)
        if account is None:
            self._link.ask("HDEL", ACCOUNTS, username)
            return None
        text = json.dumps({"read_at": self._clock.now(), "account": asdict(account)})
        self._remember([ACCOUNTS, ACCOUNTS_VERSION], username, version or "0", text)
        return text

    def _is_old(self, text: str) -> bool:
        return bool(self._clock.now() - json.loads(text)["read_at"] > READ_ANEW_S)


def forget(link: RedisLink, username: str) -> None:
    """To be called once a change of this user is in the database. Raises DependencyUnavailable."""
    try:
        link.ask("INCR", ACCOUNTS_VERSION)  # whoever has read the user before must not store it now
        link.ask("HDEL", ACCOUNTS, username)
    except DependencyUnavailable as error:
        raise DependencyUnavailable(
            f"{username} is changed in the database, but Redis could not be told ({error.detail}): "
            f"it takes effect within {READ_ANEW_S} s"
        ) from error


def _account(text: str) -> Account:
    fields = json.loads(text)["account"]
    return Account(**fields | {"secrets": tuple(fields["secrets"])})
