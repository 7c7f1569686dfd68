"""Users cached in Redis, with their secrets still encrypted, and for half a second in the process."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace

from app.errors import DependencyUnavailable
from app.model.account import Account, CachedAccount
from app.ports import Clock
from app.state.redis_front.backoff import Backoff
from app.state.redis_front.circuit_breaker import CircuitBreaker
from app.state.redis_front.client import RedisLink, Script
from app.state.redis_front.keys import ACCOUNTS, ACCOUNTS_VERSION, quota_key
from app.state.sql.quota_period import QuotaPeriod
from app.state.sql.store import SqlStore

PROCESS_TTL_S = 0.5
"""How long a process serves a user without asking Redis: a disabled user stops within this on all nodes."""

REREAD_AFTER_S = 60
"""Age at which a user is read from the database again, in case somebody changed its row there by hand."""

REFRESH_PAUSE_S = 5
"""How long cached users of any age are served after one caller began to read a user again."""

DATABASE_PAUSE_S = 1
"""How long the database is not asked about users after it failed, before one caller tries again."""

MAX_ENTRIES = 10_000
"""Users that a process caches, names of unknown users included."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A user as Redis had it. text: the value in Redis; empty where there is none. account: its secrets are
    decrypted; None where the text is missing or unreadable. read_at: in Unix seconds, when the database had
    the user so. until: on the monotonic clock, how long the process may serve it.
    """

    text: str
    account: Account | None
    read_at: float
    until: float


_MISSING = CacheEntry("", None, 0, 0)


class CachedAccounts:
    """Implements Accounts. While the database is down, users who are in Redis can still sign in."""

    def __init__(self, link: RedisLink, sql: SqlStore, clock: Clock) -> None:
        self._link = link
        self._sql = sql
        self._clock = clock
        self._remember = Script(link, "remember")
        self._entries: OrderedDict[str, CacheEntry] = OrderedDict()  # the least recently stored first
        self._refresh = Backoff(clock, REFRESH_PAUSE_S)
        self._database = CircuitBreaker(clock, DATABASE_PAUSE_S, _paused)

    def remembered(self, username: str) -> Account | None:
        """As ports.Accounts. Saves a question to Redis for each request."""
        entry = self._entries.get(username, _MISSING)
        servable = self._clock.monotonic() < entry.until and self._fresh(entry)
        return entry.account if servable else None

    def cached(self, username: str) -> CachedAccount:
        """As ports.Accounts. Asks Redis even where this process remembers the user, so that a wrong signature
        costs as much for a known name as for any other.

        An entry past REREAD_AFTER_S is not fresh for one caller, who then asks the database with `find`.
        """
        entry = self._entries.get(username, _MISSING)
        text = self._link.ask("HGET", ACCOUNTS, username) or ""
        entry = replace(entry, until=self._until()) if text == entry.text else self._read(text)
        self._store(username, entry)
        if entry.account is None:
            return CachedAccount()
        fresh = self._fresh(entry)
        if not fresh:
            self._refresh.start()  # the other callers are served from the cache meanwhile
        return CachedAccount(entry.account, fresh)

    def find(self, username: str) -> Account | None:
        """As ports.Accounts; afterwards Redis has the user as the database does."""
        version = self._link.ask("GET", ACCOUNTS_VERSION)
        sealed = self._from_database(username)
        self._refresh.end()
        if sealed is None:
            self._link.ask("HDEL", ACCOUNTS, username)
            self._store(username, replace(_MISSING, until=self._until()))
            return None
        account, read_at = self._sql.unsealed(sealed), self._clock.now()
        text = json.dumps({"read_at": read_at, "account": asdict(sealed)})
        if self._remember([ACCOUNTS, ACCOUNTS_VERSION], username, version or "0", text):
            self._store(username, CacheEntry(text, account, read_at, self._until()))
        return account

    def _fresh(self, entry: CacheEntry) -> bool:
        return self._refresh.remaining_s > 0 or self._clock.now() - entry.read_at <= REREAD_AFTER_S

    def _read(self, text: str) -> CacheEntry:
        """The value in Redis; one that is missing, or that another release wrote, has no account."""
        try:
            read_at, sealed = _parsed(text)
        except (ValueError, KeyError, TypeError):
            return CacheEntry(text, None, 0, self._until())
        return CacheEntry(text, self._sql.unsealed(sealed), read_at, self._until())

    def _until(self) -> float:
        return self._clock.monotonic() + PROCESS_TTL_S

    def _store(self, username: str, entry: CacheEntry) -> None:
        self._entries[username] = entry
        self._entries.move_to_end(username)
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def _from_database(self, username: str) -> Account | None:
        """Requests with unknown names must not use up the connections of a database that does not answer."""
        self._database.enter()
        try:
            account = self._sql.sealed(username)
        except DependencyUnavailable as error:
            self._database.fail(error.detail)
            raise
        self._database.succeed()
        return account


def _paused(failure: str, remaining_s: float) -> DependencyUnavailable:
    return DependencyUnavailable(f"calls are paused after: {failure}", retry_after=math.ceil(remaining_s))


def forget(link: RedisLink, username: str, period: QuotaPeriod | None = None) -> None:
    """Remove a user from the cache; call it after each change of the user in the database.

    period: its rows are counted in the database again, since Redis did not count them while another period
    applied. Raises DependencyUnavailable.
    """
    try:
        if period is not None:
            link.ask("HINCRBY", quota_key(period), "changes", 1)  # makes a count that is under way void
            link.ask("HDEL", quota_key(period), "rows")
            if period.expires_ms is not None:
                link.ask("PEXPIREAT", quota_key(period), period.expires_ms)
        link.ask("INCR", ACCOUNTS_VERSION)  # stops a process that has read the old user from caching it
        link.ask("HDEL", ACCOUNTS, username)
    except DependencyUnavailable as error:
        raise DependencyUnavailable(
            f"{username} is changed in the database, but Redis could not be updated ({error.detail}): "
            f"it takes effect within {REREAD_AFTER_S} s; a new quota should be set again then"
        ) from error


def _parsed(text: str) -> tuple[float, Account]:
    """When the user was read, and the user as stored. Raises ValueError, KeyError or TypeError."""
    found = json.loads(text)
    fields = found["account"]
    return float(found["read_at"]), Account(**fields | {"secrets": tuple(fields["secrets"])})
