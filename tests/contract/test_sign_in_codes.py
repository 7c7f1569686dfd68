"""One-time codes over both databases: each is one user's, is spent once, and ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.state.sql.sign_in_codes import SignInCodes
from app.state.sql.store import SqlStore
from app.state.sql.tables import sign_in_codes
from app.state.sql.users import UnknownUser
from tests.fakes import FakeClock

CALLERS = 50
VALID_S = 600


def codes_of(store: SqlStore, clock: FakeClock) -> SignInCodes:
    return SignInCodes(store.database, valid_s=VALID_S, clock=clock)


def kept(store: SqlStore) -> int:
    with store.database.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(sign_in_codes)) or 0)


def test_of_fifty_at_once_over_two_nodes_one_spends_it(
    store: SqlStore, make_store: Callable[..., SqlStore], clock: FakeClock
) -> None:
    store.users.add("alice")
    nodes = [codes_of(store, clock), codes_of(make_store(), clock)]
    for _ in range(5):
        code = nodes[0].issue("alice")
        with ThreadPoolExecutor(CALLERS) as pool:
            outcomes = list(pool.map(lambda n, code=code: nodes[n % 2].spend(code), range(CALLERS)))
        assert outcomes.count(True) == 1
    assert kept(store) == 0


def test_a_code_is_its_users_until_it_is_spent(store: SqlStore, clock: FakeClock) -> None:
    for name in ("alice", "bob"):
        store.users.add(name)
    codes = codes_of(store, clock)
    mine, other = codes.issue("alice"), codes.issue("bob")
    assert (codes.owner(mine), codes.owner(other), codes.owner("0" * 32)) == ("alice", "bob", None)
    assert codes.owner(mine) == "alice"  # looked at, not spent
    assert codes.spend(mine)
    assert (codes.owner(mine), codes.spend(mine)) == (None, False)
    assert codes.owner(other) == "bob"
    with pytest.raises(UnknownUser):
        codes.issue("eve")


def test_a_code_ends_and_the_next_one_clears_it_away(store: SqlStore, clock: FakeClock) -> None:
    store.users.add("alice")
    codes = codes_of(store, clock)
    old = codes.issue("alice")
    clock.advance(VALID_S - 1)
    assert codes.owner(old) == "alice"
    clock.advance(1)
    assert (codes.owner(old), codes.spend(old), kept(store)) == (None, False, 1)
    codes.issue("alice")
    assert kept(store) == 1


def test_a_rotation_ends_the_codes_of_its_user_alone(store: SqlStore, clock: FakeClock) -> None:
    """A link that has leaked must not give away the secret that replaces what it could have got."""
    for name in ("alice", "bob"):
        store.users.add(name)
    codes = codes_of(store, clock)
    mine, other = codes.issue("alice"), codes.issue("bob")
    store.users.rotate_secret("alice")
    assert (codes.owner(mine), codes.owner(other)) == (None, "bob")


def test_the_database_holds_no_code(store: SqlStore, clock: FakeClock) -> None:
    store.users.add("alice")
    code = codes_of(store, clock).issue("alice")
    assert len(code) == 32 and int(code, 16) >= 0
    with store.database.read() as connection:
        assert code not in str(connection.execute(select(sign_in_codes)).all())
