"""What the benchmark counts as right."""

from __future__ import annotations

import random

import pytest

from bench import score


def plain_edits(one: str, other: str) -> int:
    """Levenshtein's distance as textbooks have it."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        following = [i]
        for j, b in enumerate(other, 1):
            following.append(min(row[j] + 1, following[-1] + 1, row[j - 1] + (a != b)))
        row = following
    return row[-1]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("合计 TOTAL", "合汁TOTAL", 2)],
)
def test_edits(one: str, other: str, distance: int) -> None:
    assert score.edits(one, other) == distance


def test_edits_are_those_of_the_textbook() -> None:
    chance = random.Random(1)  # noqa: S311
    for _ in range(200):
        one, other = ("".join(chance.choices("ab云", k=chance.randrange(12))) for _ in range(2))
        assert score.edits(one, other) == plain_edits(one, other)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["Green  Tea", "2 pcs "], "Green Tea 2 pcs"),
        (["ＡＢＣ：１２３"], "ABC:123"),
        (["第一行", "第二行"], "第一行第二行"),
        (["USB-C 数据线 2.5 m"], "USB-C数据线2.5 m"),
    ],
)
def test_a_page_is_compared_without_what_nobody_sees(lines: list[str], text: str) -> None:
    assert score.plain(lines) == text


def test_word_f1_counts_each_word_as_often_as_it_is_there() -> None:
    assert score.word_f1({"a": ["TEA tea", "cup"]}, {"a": ["Tea cup"]}) == pytest.approx(2 * 2 / (3 + 2))
    assert score.word_f1({"a": ["x"]}, {"a": ["y"]}) == 0


def test_percentiles_are_values_that_were_measured() -> None:
    assert score.percentile([4, 1, 3, 2], 0.5) == 2
    assert score.percentile([4, 1, 3, 2], 0.95) == 4
    assert score.percentile([7], 0.5) == 7
