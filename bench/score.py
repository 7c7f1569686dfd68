"""How well was it read: words found, characters right; and a percentile."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

Pages = Mapping[str, Sequence[str]]

_BESIDE_CHINESE = re.compile(r"\s+(?=[\u2e80-\u9fff])|(?<=[\u2e80-\u9fff])\s+")


def words(lines: Sequence[str]) -> Counter[str]:
    return Counter(word for line in lines for word in unicodedata.normalize("NFKC", line).upper().split())


def word_f1(read: Pages, labels: Pages) -> float:
    """Words of a page as multisets; 2 x matched / (read + labelled) over all pages."""
    matched = total = 0
    for name, lines in read.items():
        ours, theirs = words(lines), words(labels[name])
        matched += (ours & theirs).total()
        total += ours.total() + theirs.total()
    return 2 * matched / max(total, 1)


def plain(lines: Sequence[str]) -> str:
    """A page as one text to compare by characters: NFKC, since full and half width look alike.

    White space of any length counts as one space, as a line's end does. Beside a Chinese character it does
    not count: there, writers differ.
    """
    text = unicodedata.normalize("NFKC", " ".join(lines))
    return " ".join(_BESIDE_CHINESE.sub("", text).split())


def edits(one: str, other: str) -> int:
    """Levenshtein's distance: characters to insert, delete or replace."""
    codes = np.array([ord(character) for character in other], np.int64)
    places = np.arange(len(other) + 1)
    row = places
    for number, character in enumerate(one, 1):
        following = np.empty_like(row)
        following[0] = number
        following[1:] = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        # An insertion follows its left neighbour, at one more each step.
        row = np.minimum.accumulate(following - places) + places
    return int(row[-1])


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: a value that was measured, never one in between."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
