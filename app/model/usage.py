"""Usage records, and the reports that sum them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from app.model.account import Period
from app.model.reading import Elapsed, PictureInfo

RECOGNISED: Final = 6
"""The wire contract's status code of success, the only one that is charged."""

KeepText = Literal["none", "hash", "full"]
"""What a record keeps of the recognised text: nothing, its SHA-256, or the text and its SHA-256."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One admitted request, successful or not. status_code: as in the wire contract; 6 is charged.

    text: the recognised text, stored as KeepText says.
    """

    request_id: str
    username: str
    status_code: int
    elapsed: Elapsed = Elapsed()
    picture: PictureInfo | None = None
    lines: int = 0
    characters: int = 0
    text: str = field(default="", repr=False)

    @property
    def charged(self) -> bool:
        return self.status_code == RECOGNISED


@dataclass(frozen=True, slots=True)
class UserQuota:
    """limit, used, remaining: recognitions in the current period. limit and remaining: None is unlimited."""

    period: Period
    limit: int | None
    used: int
    remaining: int | None


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """Sums over one day of UTC, or over all days of a report (day None).

    requests: finished ones; by_code: the same by status code. pictures: recognised ones; characters: in them.
    p50_ms, p95_ms: percentiles of their total time; None without pictures.
    """

    day: date | None
    requests: int
    by_code: Mapping[int, int]
    pictures: int
    characters: int
    p50_ms: int | None
    p95_ms: int | None


@dataclass(frozen=True, slots=True)
class UsageReport:
    """first, last: days of UTC, both included. days: only those with requests."""

    first: date
    last: date
    total: UsageFigures
    days: tuple[UsageFigures, ...]


@dataclass(frozen=True, slots=True)
class UserUsage:
    """One user's line in a report of all: finished requests, recognised pictures, characters in them."""

    username: str
    enabled: bool
    quota: UserQuota
    requests: int
    pictures: int
    characters: int


@dataclass(frozen=True, slots=True)
class Usage:
    """The answer to GET /usage. username, quota: None for the usage of all. users: for administrators."""

    username: str | None
    quota: UserQuota | None
    report: UsageReport
    users: tuple[UserUsage, ...] | None
