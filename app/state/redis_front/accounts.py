"""Users in Redis, as the database has them (secrets stay encrypted), and in the process for a moment."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace

from app.errors import DependencyUnavailable
from app.model.account import Account, CachedAccount
from app.ports import Clock
from app.state.redis_front.client import RedisLink, Script
from app.state.redis_front.pending import ACCOUNTS, ACCOUNTS_VERSION
from app.state.sql.quota import Budget
from app.state.sql.store import SqlStore

KEPT_S = 0.5
"""How long a process does not ask Redis again: a user who is disabled stops within this on all nodes."""

READ_ANEW_S = 60
"""When a user is read from the database again, in case somebody changed it there by hand."""

LEFT_ALONE_S = 5
"""How long the database is not asked about users who are cached, once it has not answered."""

REFUSED_WAIT_S = 1
"""How long it is asked about nobody else then; after that one caller tries."""

KEPT_IN_PROCESS = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """text: as it is in Redis; empty where Redis has nothing that can be read. account: with its secrets
    readable. read_at: in Unix seconds, when the database had it so. until: on the monotonic clock.
    """

    text: str
    account: Account | None
    read_at: float
    until: float


_NOTHING = Kept("", None, 0, 0)


class CachedAccounts:
    """Implements Accounts. While the database is down, users who are in Redis stay as they are there."""

    def __init__(self, link: RedisLink, sql: SqlStore, clock: Clock) -> None:
        self._link = link
        self._sql = sql
        self._clock = clock
        self._remember = Script(link, "remember")
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._refresh_from = 0.0
        self._database_from = 0.0  # 0: it has answered

    def remembered(self, username: str) -> Account | None:
        """As ports.Accounts. Without it every request would ask Redis for the user."""
        now = self._clock.monotonic()
        kept = self._kept.get(username, _NOTHING)
        return kept.account if now < kept.until and self._fresh(kept, now) else None

    def cached(self, username: str) -> CachedAccount:
        """As ports.Accounts: what Redis has, also where this process remembers the user, so that a wrong
        signature costs as much for a name in use as for any other.

        A user read long ago is not fresh for one caller, who asks the database.
        """
        now = self._clock.monotonic()
        kept = self._kept.get(username, _NOTHING)
        text = self._link.ask("HGET", ACCOUNTS, username) or ""
        kept = replace(kept, until=now + KEPT_S) if text == kept.text else self._read(text, now)
        self._keep(username, kept)
        if kept.account is None:
            return CachedAccount()
        fresh = self._fresh(kept, now)
        if not fresh:
            self._refresh_from = now + LEFT_ALONE_S  # for the others, too, while this one asks
        return CachedAccount(kept.account, fresh)

    def find(self, username: str) -> Account | None:
        """As ports.Accounts; then Redis has the user as the database does."""
        version = self._link.ask("GET", ACCOUNTS_VERSION)
        sealed = self._from_database(username)
        self._refresh_from = 0.0
        if sealed is None:
            self._link.ask("HDEL", ACCOUNTS, username)
            self._keep(username, replace(_NOTHING, until=self._clock.monotonic() + KEPT_S))
            return None
        account, read_at = self._sql.unsealed(sealed), self._clock.now()
        text = json.dumps({"read_at": read_at, "account": asdict(sealed)})
        if self._remember([ACCOUNTS, ACCOUNTS_VERSION], username, version or "0", text):
            self._keep(username, Kept(text, account, read_at, self._clock.monotonic() + KEPT_S))
        return account

    def _fresh(self, kept: Kept, now: float) -> bool:
        return now < self._refresh_from or self._clock.now() - kept.read_at <= READ_ANEW_S

    def _read(self, text: str, now: float) -> Kept:
        """What is absent, or of another release, is nothing."""
        try:
            read_at, sealed = _parsed(text)
        except (ValueError, KeyError, TypeError):
            return Kept(text, None, 0, now + KEPT_S)
        return Kept(text, self._sql.unsealed(sealed), read_at, now + KEPT_S)

    def _keep(self, username: str, kept: Kept) -> None:
        self._kept[username] = kept
        self._kept.move_to_end(username)
        if len(self._kept) > KEPT_IN_PROCESS:
            self._kept.popitem(last=False)

    def _from_database(self, username: str) -> Account | None:
        """Names that nobody has must not keep a silent database's connections from those who have one."""
        now = self._clock.monotonic()
        if now < self._database_from:
            wait_s = math.ceil(self._database_from - now)
            raise DependencyUnavailable("the database is left alone for a moment", retry_after=wait_s)
        if self._database_from:
            self._database_from = now + REFUSED_WAIT_S  # for the others: this call finds out
        try:
            account = self._sql.sealed(username)
        except DependencyUnavailable:
            self._database_from = self._clock.monotonic() + REFUSED_WAIT_S
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


def _parsed(text: str) -> tuple[float, Account]:
    """When it was read, and the user as stored. Raises ValueError, KeyError or TypeError."""
    found = json.loads(text)
    fields = found["account"]
    return float(found["read_at"]), Account(**fields | {"secrets": tuple(fields["secrets"])})
