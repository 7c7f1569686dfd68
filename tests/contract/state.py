"""What the contract suites run over: an implementation of the three ports, and a way to make users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from app.limits.rate import Rate
from app.model.account import Account
from app.model.claim import Claim
from app.ports import Accounts, Admission, Clock, UsageLog
from app.state.redis_front.accounts import CachedAccounts, forget
from app.state.redis_front.admission import RedisState
from app.state.redis_front.client import RedisLink
from app.state.redis_front.mover import Mover
from app.state.redis_front.spool import Spool
from app.state.sql.database import Database
from app.state.sql.quota import charged_rows
from app.state.sql.store import SqlStore
from app.system.clock import SystemClock
from tests.fakes import FakeAccounts, FakeAdmission, FakeUsageLog


@dataclass(frozen=True)
class State:
    """add_user: (username, *, quota_limit=None) -> secret. used: the user's quota that is spent."""

    accounts: Accounts
    admission: Admission
    usage: UsageLog
    add_user: Callable[..., str]
    used: Callable[[str], int]

    def account(self, username: str = "alice") -> Account:
        account = self.accounts.find(username)
        assert account is not None
        return account


def sql_state(store: SqlStore) -> State:
    return State(store, store, store, store.users.add, lambda username: used(store, username))


class RedisStore:
    """Redis in front of a SQL store, as in app/wiring/state.py. A test runs the mover by hand."""

    def __init__(
        self, sql: SqlStore, folder: Path, url: str, clock: Clock | None = None, *, rate: Rate | None = None
    ) -> None:
        clock = clock or SystemClock()
        self.errors: list[None] = []
        self.sql = sql
        self.link = RedisLink(
            url, timeout_ms=2000, connections=32, clock=SystemClock(), failed=lambda: self.errors.append(None)
        )
        sql.users._changed = partial(forget, self.link)
        self.accounts = CachedAccounts(self.link, sql, SystemClock())
        self.spool = Spool(folder / "spool")
        self.state = RedisState(
            self.link,
            sql=sql,
            spool=self.spool,
            clock=clock,
            rate=rate or Rate(per_minute=60, burst=100),
            timeout_ms=2000,
            guard_s=60,
        )

    def mover(self, name: str = "the-mover", *, claim_after_s: float = 0) -> Mover:
        return Mover(
            self.link,
            state=self.state,
            sql=self.sql,
            clock=SystemClock(),
            name=name,
            claim_after_s=claim_after_s,
            abandoned_after_s=120,
        )

    def used(self, username: str = "alice") -> int:
        """Requests that are held, and rows, which Redis has counted or would count now."""
        user_id = self.sql.find(username).user_id  # type: ignore[union-attr]
        held = self.link.ask("SMEMBERS", f"ocr:held:{user_id}:none:0")
        rows = self.link.ask("HGET", f"ocr:quota:{user_id}:none:0", "rows")
        if rows is None:
            with self.sql.database.read() as connection:
                rows = charged_rows(connection, user_id, 0, without=held)
        return int(rows) + len(held)


def redis_state(store: RedisStore) -> State:
    return State(store.accounts, store.state, store.state, store.sql.users.add, store.used)


def fake_state() -> State:
    accounts, admission = FakeAccounts(), FakeAdmission()

    def add_user(username: str, *, quota_limit: int | None = None) -> str:
        secret = f"the secret of {username}"
        accounts.by_name[username] = Account(1, username, (secret,), quota_limit=quota_limit)
        return secret

    return State(accounts, admission, FakeUsageLog(admission), add_user, admission.used.__getitem__)


def sql_store(
    folder: Path,
    clock: Clock,
    *,
    database_url: str,
    busy_timeout_ms: int = 100_000,
    mysql_timeout_s: float = 100,
    mysql_connections: int = 10,
    **changes: Any,
) -> SqlStore:
    """Patient by default: the machine that runs the tests may be slow."""
    settings: dict[str, Any] = {
        "key_file": folder / "var" / "secret.key",
        "rate_per_minute": 60,
        "rate_burst": 100,
        "user_share": 1,
        "abandoned_after_s": 120,
    }
    database = Database(
        database_url,
        busy_timeout_ms=busy_timeout_ms,
        mysql_timeout_s=mysql_timeout_s,
        mysql_connections=mysql_connections,
    )
    return SqlStore(database, **settings | changes, clock=clock)


def used(store: SqlStore, username: str = "alice") -> int:
    """The user's counter, once it has been compared with the records that it counts."""
    (counter,) = (user.quota_used for user in store.users.list() if user.username == username)
    assert counter == sum(row["charged"] for row in store.tail(1000) if row["username"] == username)
    return counter


def id_of(name: str) -> str:
    """A request id that tests can name."""
    return uuid5(NAMESPACE_OID, name).hex


def ocr_request(nonce: str = "nonce-0001", *, request_id: str = "") -> Claim:
    return Claim(
        request_id=id_of(request_id or nonce),
        username="alice",
        nonce=nonce,
        sign="",
        timestamp=None,
        legacy=False,
        signed_fields={},
    )
