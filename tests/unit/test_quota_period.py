"""The periods of a quota: days and months of UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.model.account import Period
from app.state.sql.quota_period import period_end, period_left_s, period_start


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "moment", "start", "end"),
    [
        ("day", "2026-02-28 23:59:59.999", "2026-02-28", "2026-03-01"),
        ("day", "2026-03-01 00:00:00.000", "2026-03-01", "2026-03-02"),
        ("month", "2026-01-31 12:00:00.000", "2026-01-01", "2026-02-01"),
        ("month", "2026-02-28 23:59:59.999", "2026-02-01", "2026-03-01"),
        ("month", "2028-02-29 00:00:00.000", "2028-02-01", "2028-03-01"),
        ("month", "2026-12-31 23:59:59.999", "2026-12-01", "2027-01-01"),
    ],
)
def test_a_period_is_one_of_utc(period: Period, moment: str, start: str, end: str) -> None:
    assert period_start(period, ms(moment)) == ms(start)
    assert period_end(period, ms(moment)) == ms(end)


def test_none_has_neither_begin_nor_end() -> None:
    assert (period_start("none", ms("2026-02-28")), period_end("none", ms("2026-02-28"))) == (0, None)


def test_the_seconds_until_more_is_granted_are_whole_and_never_too_few() -> None:
    midnight = ms("2026-03-01")
    assert [period_left_s("day", midnight - left) for left in (1, 1000, 1001, 86_400_000)] == [
        1,
        1,
        2,
        86_400,
    ]
    assert period_left_s("none", midnight) is None
