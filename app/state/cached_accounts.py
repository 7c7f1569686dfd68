"""Users in Redis, as the database has them (secrets stay encrypted), and in the process for a moment."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TypeVar

from app.errors import DependencyUnavailable
from app.model import Account
from app.ports import Clock
from app.state.held import ACCOUNTS, ACCOUNTS_VERSION, Budget
from app.state.redis_link import RedisLink, Script
from app.state.sql import SqlStore

KEPT_S = 0.5
"""How long a process does not ask Redis again: a user who is disabled stops within this on all nodes."""

READ_ANEW_S = 60
"""When a user is read from the database again, in case somebody changed it there by hand."""

LEFT_ALONE_S = 5
"""How long the database is not asked about users that are known, once it has not answered."""

UNKNOWN_WAIT_S = 1
"""How long it is asked about nobody then; after that one caller tries."""

KEPT_IN_PROCESS = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """text: as it is in Redis. account: with its secrets readable. until: on the monotonic clock."""

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
        self._unknown: OrderedDict[str, float] = OrderedDict()  # until when, by name
        self._refresh_from = 0.0
        self._database_from = 0.0  # 0: it has answered

    def find(self, username: str) -> Account | None:
        """As ports.Accounts. Raises DependencyUnavailable."""
        now = self._clock.monotonic()
        kept = self._kept.get(username)
        if kept is not None and now < kept.until:
            return kept.account
        if now < self._unknown.get(username, 0.0):
            return None
        text = self._text(username, now)
        if text is None:
            self._kept.pop(username, None)
            _put(self._unknown, username, now + KEPT_S)
            return None
        if kept is not None and kept.text == text:
            account = kept.account
        else:
            account = self._sql.unsealed(_parsed(text)[1])
        _put(self._kept, username, Kept(text, account, now + KEPT_S))
        return account

    def _text(self, username: str, now: float) -> str | None:
        """As it is in Redis, or else in the database; what cannot be read there is as if it were absent."""
        text: str | None = self._link.ask("HGET", ACCOUNTS, username)
        try:
            read_at, _ = _parsed(text or "")
        except (ValueError, KeyError, TypeError):  # absent, or of another release
            return self._read(username)
        if now >= self._refresh_from and self._clock.now() - read_at > READ_ANEW_S:
            self._refresh_from = now + LEFT_ALONE_S  # for the others, too, while this one asks
            with suppress(DependencyUnavailable):
                text = self._read(username)
                self._refresh_from = 0.0
        return text

    def _read(self, username: str) -> str | None:
        version = self._link.ask("GET", ACCOUNTS_VERSION)
        account = self._from_database(username)
        if account is None:
            self._link.ask("HDEL", ACCOUNTS, username)
            return None
        text = json.dumps({"read_at": self._clock.now(), "account": asdict(account)})
        self._remember([ACCOUNTS, ACCOUNTS_VERSION], username, version or "0", text)
        return text

    def _from_database(self, username: str) -> Account | None:
        """Names that nobody has must not keep a silent database's connections from those who have one."""
        now = self._clock.monotonic()
        if now < self._database_from:
            wait_s = math.ceil(self._database_from - now)
            raise DependencyUnavailable("the database is left alone for a moment", retry_after=wait_s)
        if self._database_from:
            self._database_from = now + UNKNOWN_WAIT_S  # for the others: this call finds out
        try:
            account = self._sql.sealed(username)
        except DependencyUnavailable:
            self._database_from = self._clock.monotonic() + UNKNOWN_WAIT_S
            raise
        self._database_from = 0.0
        return account


def forget(link: RedisLink, username: str, budget: Budget | None = None) -> None:
    """To be called once a change of this user is in the database. Raises DependencyUnavailable.

    budget: whose rows are to be counted anew, since requests of another period were not counted in it.
    """
    try:
        if budget is not None:
            link.ask("HINCRBY", budget.quota_key, "changes", 1)  # whoever counts now must begin again
            link.ask("HDEL", budget.quota_key, "rows")
            if budget.ends_ms is not None:
                link.ask("PEXPIREAT", budget.quota_key, budget.ends_ms)
        link.ask("INCR", ACCOUNTS_VERSION)  # whoever has read the user before must not store it now
        link.ask("HDEL", ACCOUNTS, username)
    except DependencyUnavailable as error:
        raise DependencyUnavailable(
            f"{username} is changed in the database, but Redis could not be told ({error.detail}): "
            f"it takes effect within {READ_ANEW_S} s; a new quota should be set again then"
        ) from error


def _put(kept: OrderedDict[str, T], name: str, value: T) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > KEPT_IN_PROCESS:
        kept.popitem(last=False)


def _parsed(text: str) -> tuple[float, Account]:
    """When it was read, and the user as stored. Raises ValueError, KeyError or TypeError."""
    found = json.loads(text)
    fields = found["account"]
    return float(found["read_at"]), Account(**fields | {"secrets": tuple(fields["secrets"])})
