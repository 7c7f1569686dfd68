"""After a failure one call probes the dependency at a time, and the others are refused."""

from __future__ import annotations

import pytest

from app.state.redis_front.backoff import Backoff
from app.state.redis_front.circuit_breaker import CircuitBreaker
from tests.fakes import FakeClock

PAUSE_S = 2.0


class RefusedCall(Exception):
    pass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker(clock, PAUSE_S, RefusedCall)


def refused(breaker: CircuitBreaker) -> bool:
    try:
        breaker.enter()
    except RefusedCall:
        return True
    return False


def test_calls_pass_until_one_fails(breaker: CircuitBreaker) -> None:
    assert not refused(breaker)
    breaker.succeed()
    assert not refused(breaker)
    breaker.fail("timeout")
    assert refused(breaker)


def test_a_refusal_names_the_failure_and_the_rest_of_the_pause(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    breaker.fail("timeout")
    clock.advance(0.5)
    with pytest.raises(RefusedCall) as refusal:
        breaker.enter()
    assert refusal.value.args == ("timeout", 1.5)


def test_after_the_pause_one_call_probes_while_the_others_are_refused(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    breaker.fail("timeout")
    clock.advance(PAUSE_S)
    assert [refused(breaker) for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize(("succeeds", "passing"), [(True, 3), (False, 0)])
def test_the_probe_decides_for_the_others(
    breaker: CircuitBreaker, clock: FakeClock, succeeds: bool, passing: int
) -> None:
    breaker.fail("timeout")
    clock.advance(PAUSE_S)
    breaker.enter()
    if succeeds:
        breaker.succeed()
    else:
        breaker.fail("again")
    assert [refused(breaker) for _ in range(3)].count(False) == passing


def test_a_probe_that_reports_nothing_is_followed_by_another(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    breaker.fail("timeout")
    for _ in range(3):
        clock.advance(PAUSE_S)
        assert [refused(breaker) for _ in range(2)] == [False, True]


def test_a_call_that_waited_is_refused_if_another_failed_meanwhile(breaker: CircuitBreaker) -> None:
    waiting = breaker.enter()
    breaker.recheck(waiting)
    breaker.fail("timeout")
    with pytest.raises(RefusedCall):
        breaker.recheck(waiting)
    breaker.succeed()
    breaker.recheck(waiting)


def test_the_probe_itself_is_not_refused(breaker: CircuitBreaker, clock: FakeClock) -> None:
    breaker.fail("timeout")
    clock.advance(PAUSE_S)
    breaker.recheck(breaker.enter())


def test_a_pause_lasts_as_long_as_it_says_and_may_be_ended(clock: FakeClock) -> None:
    backoff = Backoff(clock, PAUSE_S)
    assert backoff.remaining_s == 0
    backoff.start()
    clock.advance(1.5)
    assert backoff.remaining_s == 0.5
    backoff.start()
    assert backoff.remaining_s == PAUSE_S
    backoff.end()
    assert backoff.remaining_s == 0
    backoff.start()
    clock.advance(PAUSE_S)
    assert backoff.remaining_s == 0
