"""The arithmetic of a day's sums, without a database."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from app.model.usage import RECOGNISED
from app.state.sql.rollup import Counts, bucket, middle

LONGEST_MS = 2**31 - 1


def times(*all_ms: int) -> Counts:
    counts = Counts()
    for total_ms in all_ms:
        counts.add(Counts.of_request(RECOGNISED, 10, total_ms))
    return counts


@pytest.mark.parametrize("total_ms", [0, 1, 63, 64, 65, 127, 128, 1000, 60_000, LONGEST_MS - 1, LONGEST_MS])
def test_the_middle_of_a_bucket_is_within_two_per_cent_of_its_times(total_ms: int) -> None:
    assert bucket(total_ms) <= total_ms
    assert abs(middle(bucket(total_ms)) - total_ms) <= 0.016 * total_ms


def test_short_times_are_exact() -> None:
    assert [middle(bucket(total_ms)) for total_ms in range(64)] == list(range(64))


def test_buckets_follow_each_other_without_a_gap() -> None:
    found = sorted({bucket(total_ms) for total_ms in range(5000)})
    assert all(bucket(after - 1) == before for before, after in pairwise(found))


@pytest.mark.parametrize("percent", [1, 50, 95, 100])
def test_percentiles_over_days_are_within_two_per_cent(percent: int) -> None:
    draw = random.Random(percent)  # noqa: S311  no secret
    all_ms = [round(draw.lognormvariate(6, 1)) for _ in range(3000)]
    total = Counts()
    for at in range(0, len(all_ms), 100):
        total.add(times(*all_ms[at : at + 100]))

    exact = sorted(all_ms)[-(-len(all_ms) * percent // 100) - 1]
    found = total.percentile(percent)
    assert found is not None
    assert abs(found - exact) <= 0.02 * exact


def test_a_difference_takes_away_what_was_there() -> None:
    counts = times(100, 200)
    counts.add(Counts.of_request(5, None, 7))
    counts.add(Counts.of_request(5, None, 7), -1)
    counts.add(times(200), -1)

    assert counts.figures(None) == times(100).figures(None)
    assert counts.columns() == times(100).columns()


def test_what_is_written_is_read_as_it_was() -> None:
    counts = times(3, 500, 501, 9000)
    counts.add(Counts.of_request(14, None, 90))
    row = counts.columns()

    assert (row["requests"], row["pictures"], row["characters"]) == (5, 4, 40)
    read = Counts.from_columns(row["by_code"], row["characters"], row["times"])
    assert read.figures(None) == counts.figures(None)


def test_only_recognised_pictures_have_times() -> None:
    counts = Counts.of_request(17, 0, 100_000)
    counts.add(Counts.of_request(RECOGNISED, 5, None))
    figures = counts.figures(None)
    assert (figures.requests, figures.pictures, figures.p50_ms) == (2, 1, None)
