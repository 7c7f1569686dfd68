"""How many reports a worker makes at once, and how much of its time those of one user take."""

from __future__ import annotations

import pytest

from app.errors import Busy, RateLimited
from app.limits.reports import AHEAD_S, LONGEST_PAUSE_S, ReportLimit
from tests.fakes import FakeClock


def report(limit: ReportLimit, clock: FakeClock, *, seconds: float, user: str = "alice") -> float:
    """Make one, and return how long it waited for its turn."""
    asked = clock.monotonic()
    with limit.held(user):
        waited = clock.monotonic() - asked
        clock.advance(seconds)
    return waited


@pytest.mark.parametrize("share", [0.1, 0.25, 1])
def test_one_users_reports_take_no_more_than_a_share_of_the_time(share: float) -> None:
    clock = FakeClock()
    limit, began = ReportLimit(at_once=2, share=share, clock=clock, sleep=clock.advance), clock.monotonic()
    for _ in range(1000):
        report(limit, clock, seconds=0.05)
    assert (clock.monotonic() - began) * share == pytest.approx(1000 * 0.05, rel=0.05)


def test_some_reports_do_not_wait_nor_do_others() -> None:
    clock = FakeClock()
    limit = ReportLimit(at_once=2, share=0.25, clock=clock, sleep=clock.advance)
    assert [report(limit, clock, seconds=0.05) for _ in range(20)] == [0] * 20
    while report(limit, clock, seconds=0.05) == 0:
        pass
    assert report(limit, clock, seconds=0.05, user="bob") == 0
    clock.advance(AHEAD_S)
    assert report(limit, clock, seconds=0.05) == 0


def test_nobody_waits_long_and_those_who_have_waited_are_forgotten() -> None:
    clock = FakeClock()
    limit = ReportLimit(at_once=2, share=0.25, clock=clock, sleep=clock.advance)
    report(limit, clock, seconds=60)
    assert report(limit, clock, seconds=0.1) == pytest.approx(LONGEST_PAUSE_S)
    clock.advance(10)
    report(limit, clock, seconds=0.1, user="bob")
    assert set(limit._used_until) == {"bob"}


def test_one_at_a_time_for_a_user_and_so_many_for_all() -> None:
    clock = FakeClock()
    limit = ReportLimit(at_once=2, share=0.25, clock=clock, sleep=clock.advance)
    with limit.held("alice"):
        with pytest.raises(RateLimited), limit.held("alice"):
            pass
        with limit.held("bob"), pytest.raises(Busy), limit.held("eve"):
            pass
        with limit.held("eve"):
            pass
