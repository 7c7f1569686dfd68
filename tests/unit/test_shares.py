"""Places of a worker, and the share of one user."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.errors import Busy
from app.limits.shares import UserShares, share_of
from tests.fakes import FakeClock


def shares(capacity: int, share: float = 0.25) -> UserShares:
    return UserShares(capacity, share, FakeClock(), what="place")


@pytest.mark.parametrize(("capacity", "share", "most"), [(8, 0.25, 2), (10, 0.25, 3), (1, 0.1, 1)])
def test_a_share_is_rounded_up(capacity: int, share: float, most: int) -> None:
    assert share_of(capacity, share) == most


def test_one_user_holds_no_more_than_its_share() -> None:
    places, now = shares(8), FakeClock().time
    with places.hold("alice", now), places.hold("alice", now):
        with pytest.raises(Busy) as caught, places.hold("alice", now):
            pass
        assert caught.value.retry_after == 1
        with places.hold("bob", now):
            pass
    with places.hold("alice", now):
        pass


def test_all_places_are_held() -> None:
    places, now = shares(2, 0.5), FakeClock().time
    full = places.hold("a", now), places.hold("b", now)
    with full[0], full[1], pytest.raises(Busy), places.hold("c", now):
        pass


def test_a_place_is_waited_for() -> None:
    places, now, held = shares(1), FakeClock().time, threading.Event()

    def wait() -> None:
        with places.hold("alice", now + 60):
            held.set()

    with places.hold("bob", now):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not held.wait(0.05)
    waiter.join(60)
    assert held.is_set()


@contextmanager
def queue(places: UserShares, *usernames: str) -> Iterator[list[str]]:
    """Callers who wait while the only place is held; in which order they had it."""
    served: list[str] = []
    now = FakeClock().time

    def wait(username: str) -> None:
        with places.hold(username.strip("!"), now + 60, first=username.endswith("!")):
            served.append(username)

    with places.hold("somebody", now):
        waiting = []
        for number, username in enumerate(usernames, 1):
            waiting.append(threading.Thread(target=wait, args=(username,)))
            waiting[-1].start()
            while sum(map(len, places._waiting.values())) < number:
                pass
    for waiter in waiting:
        waiter.join(60)
    yield served


def test_users_take_turns() -> None:
    with queue(shares(1), "alice", "alice", "alice", "bob", "bob", "carol") as served:
        assert served == ["alice", "bob", "carol", "alice", "bob", "alice"]


def test_the_first_of_a_user_is_before_the_others_of_that_user() -> None:
    with queue(shares(1), "alice", "alice", "bob", "alice!") as served:
        assert served == ["alice!", "bob", "alice", "alice"]


def test_who_gave_up_is_not_served() -> None:
    places, now = shares(1), FakeClock().time
    with places.hold("somebody", now), pytest.raises(Busy), places.hold("alice", now):
        pass
    with places.hold("bob", now):
        pass
