"""The rollup: the sums of a user's usage on one day, as stored in `usage_days`. Pure arithmetic.

Times form a histogram with 32 buckets for each doubling, as in HdrHistogram: the middle of a bucket is within
1.6 % of every time in it, and below 64 ms each millisecond is a bucket. A bucket is identified by its
shortest time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self

from app.model.usage import RECOGNISED, UsageFigures

PRECISION_BITS = 6
"""Leading bits of a time in ms that determine its bucket."""

LONGEST_BITS = 31
"""Of a time in ms: the column is a signed 32-bit integer."""


def bucket(total_ms: int) -> int:
    return total_ms - total_ms % _width(total_ms)


def middle(shortest_ms: int) -> int:
    """The time that represents all times of the bucket."""
    return shortest_ms + _width(shortest_ms) // 2


def _width(total_ms: int) -> int:
    return 1 << max(0, total_ms.bit_length() - PRECISION_BITS)


@dataclass(slots=True)
class Counts:
    """Ended requests by status code; characters read; recognised pictures by the bucket of their time.

    A difference of two Counts may have negative numbers.
    """

    by_code: Counter[int] = field(default_factory=Counter)
    characters: int = 0
    times: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of_request(cls, status_code: int, characters: int | None, total_ms: int | None) -> Self:
        counts = cls()
        timed = total_ms is not None and status_code == RECOGNISED
        counts.enter(status_code, 1, characters or 0, bucket(total_ms or 0) if timed else None)
        return counts

    def enter(self, status_code: int, requests: int, characters: int, time: int | None) -> None:
        """Add requests with the same code and bucket. time: the bucket; None for requests without a time."""
        self.by_code[status_code] += requests
        self.characters += characters
        if time is not None:
            self.times[time] += requests

    def add(self, other: Counts, times: int = 1) -> None:
        for mine, theirs in ((self.by_code, other.by_code), (self.times, other.times)):
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + times * count  # Counter looks up a new key slowly
        self.characters += times * other.characters

    def percentile(self, percent: int) -> int | None:
        """The middle of the first bucket that completes this percentage of the times; None without times."""
        wanted = self.times.total() * percent
        passed = 0
        for shortest_ms, count in sorted(self.times.items()):
            passed += count
            if count and passed * 100 >= wanted:
                return middle(shortest_ms)
        return None

    def figures(self, day: date | None) -> UsageFigures:
        codes = {code: count for code, count in sorted(self.by_code.items()) if count}
        return UsageFigures(
            day=day,
            requests=sum(codes.values()),
            by_code=codes,
            pictures=codes.get(RECOGNISED, 0),
            characters=self.characters,
            p50_ms=self.percentile(50),
            p95_ms=self.percentile(95),
        )

    def columns(self) -> dict[str, Any]:
        """Those of `usage_days`. requests and pictures follow from by_code; they exist for sums in SQL."""
        return {
            "requests": self.by_code.total(),
            "pictures": self.by_code[RECOGNISED],
            "characters": self.characters,
            "by_code": _encoded(self.by_code),
            "times": _encoded(self.times),
        }

    @classmethod
    def from_columns(cls, by_code: str, characters: int, times: str) -> Self:
        return cls(_decoded(by_code), characters, _decoded(times))


def _encoded(counter: Mapping[int, int]) -> str:
    return json.dumps({key: count for key, count in sorted(counter.items()) if count}, separators=(",", ":"))


def _decoded(text: str) -> Counter[int]:
    return Counter({int(key): count for key, count in json.loads(text).items()})
