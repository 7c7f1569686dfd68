"""How many refusals a user gets in full, under a clock that stands still."""

from __future__ import annotations

from app.errors import RateLimited
from app.limits.refusals import BLOCKED_S, BUSY_IN_ONE, CALLERS, HELD_S, RefusalLimit
from tests.fakes import FakeClock

AT_ONCE, PER_SECOND = 100, 20
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Bench:
    def __init__(self, share: float = 0.25, connections: int = 8) -> None:
        self.clock = FakeClock()
        self.held: list[float] = []
        self.limit = RefusalLimit(
            per_minute=60 * PER_SECOND,
            burst=AT_ONCE,
            share=share,
            connections=connections,
            clock=self.clock,
            sleep=self.held.append,
        )

    def refuse(self, times: int, address: str = HERE) -> None:
        for _ in range(times):
            self.limit.count("alice", address)

    def blocked(self, address: str = HERE, username: str = "alice") -> int | None:
        """Seconds to wait, or None."""
        try:
            self.limit.check(username, address)
        except RateLimited as refused:
            return refused.retry_after
        return None


def test_a_burst_and_then_a_pause() -> None:
    bench = Bench()
    bench.refuse(AT_ONCE)
    assert bench.blocked() is None
    bench.refuse(1)
    assert bench.blocked() == BLOCKED_S
    bench.clock.advance(BLOCKED_S / 2)
    assert bench.blocked() == BLOCKED_S / 2
    bench.clock.advance(BLOCKED_S / 2)
    assert bench.blocked() is None


def test_the_answers_after_a_share_of_the_burst_are_kept_back() -> None:
    bench = Bench()
    bench.refuse(AT_ONCE // 4)
    assert bench.held == []
    bench.refuse(1)
    assert len(bench.held) == 1
    bench.refuse(AT_ONCE)
    assert bench.blocked()
    assert len(bench.held) == AT_ONCE + 2
    assert all(HELD_S / 2 <= held <= HELD_S * 1.5 for held in bench.held)


def test_a_flood_that_goes_on_is_blocked_again_at_once_and_one_that_ends_is_forgotten() -> None:
    bench = Bench()
    bench.refuse(AT_ONCE + 1)
    bench.clock.advance(BLOCKED_S)
    bench.refuse(1)
    assert bench.blocked() == BLOCKED_S
    bench.clock.advance(BLOCKED_S + AT_ONCE / PER_SECOND)
    bench.refuse(AT_ONCE)
    assert bench.blocked() is None


def test_refusals_at_the_users_rate_are_never_too_many() -> None:
    bench = Bench()
    for _ in range(1000):
        bench.refuse(1)
        bench.clock.advance(1 / PER_SECOND)
        assert bench.blocked() is None


def test_refusals_for_want_of_room_count_less_towards_the_block() -> None:
    bench = Bench()
    for _ in range(BUSY_IN_ONE * AT_ONCE):
        bench.limit.count("alice", HERE, busy=True)
    assert bench.blocked() is None
    bench.refuse(1)
    assert bench.blocked()


def test_refusals_for_want_of_room_are_kept_back_like_others() -> None:
    bench = Bench()
    for _ in range(AT_ONCE // 4):
        bench.limit.count("alice", HERE, busy=True)
    assert bench.held == []
    for _ in range(10 * PER_SECOND):
        bench.clock.advance(1 / (2 * PER_SECOND))
        bench.limit.count("alice", HERE, busy=True)
    assert len(bench.held) > 9 * PER_SECOND
    assert bench.blocked() is None


def test_other_addresses_and_other_users_go_on() -> None:
    bench = Bench()
    bench.refuse(AT_ONCE + 1)
    assert bench.blocked(THERE) is None
    assert bench.blocked(HERE, "bob") is None


def test_an_ipv6_network_is_one_caller_and_no_address_is_one_too() -> None:
    bench = Bench()
    for number in range(AT_ONCE + 1):
        bench.refuse(1, f"2001:db8::{number}")
        bench.refuse(1, "")
    assert bench.blocked("2001:db8::ffff")
    assert bench.blocked("2001:db8:0:1::1") is None
    assert bench.blocked("")


def test_answers_that_are_kept_back_take_no_more_than_a_share_of_the_connections() -> None:
    bench = Bench(connections=8)
    bench.refuse(AT_ONCE + 1)
    held = []

    def hold(seconds: float) -> None:
        """While one waits, the next one asks."""
        held.append(seconds)
        if len(held) < 4:
            assert bench.blocked()

    bench.limit._sleep = hold
    assert bench.blocked()
    assert len(held) == 2
    assert bench.blocked()
    assert len(held) == 4


def test_callers_are_not_remembered_without_end() -> None:
    bench = Bench()
    for number in range(CALLERS + 10):
        bench.limit.count(f"user-{number}", HERE)
    assert len(bench.limit._refused) == CALLERS
