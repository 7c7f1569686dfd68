"""Accuracy of text: word F1 and edit distance; and a percentile."""

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

    White space of any length, line ends included, counts as one space. Beside a Chinese character it counts
    as none, because writers differ there.
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
        # An insertion costs one more than the left neighbour.
        row = np.minimum.accumulate(following - places) + places
    return int(row[-1])


def percentile(values: Sequence[float], share: float) -> float:
    """By the nearest rank: always a measured value, never an interpolated one."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
