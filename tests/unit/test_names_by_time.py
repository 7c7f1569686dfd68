"""The classifier of times finds a difference where there is one, whichever kind takes longer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.names_by_time import by_chance, means, told_apart

ROUNDS = 2000


def times(drawn: np.random.Generator, mean_ms: float) -> list[float]:
    return list(drawn.normal(mean_ms, 1, ROUNDS))


@pytest.mark.parametrize("difference_ms", [0.5, -0.5])
def test_a_difference_of_half_a_standard_deviation_is_found(difference_ms: float) -> None:
    drawn = np.random.default_rng(1)
    unknown, known = times(drawn, 10), times(drawn, 10 + difference_ms)
    assert told_apart(unknown, known) == pytest.approx(0.6, abs=0.02)
    assert told_apart(means(unknown, 10), means(known, 10)) > 0.7


def test_equal_times_are_told_apart_by_chance_alone() -> None:
    drawn = np.random.default_rng(2)
    assert told_apart(times(drawn, 10), times(drawn, 10)) < by_chance(ROUNDS) < 0.53
