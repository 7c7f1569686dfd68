"""Records of what was read, and their sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from app.model.account import Period
from app.model.reading import Elapsed, PictureInfo

RECOGNISED = 6
"""The wire contract's status code of success, the only one that is charged."""

KeepText = Literal["none", "hash", "full"]
"""What is kept of the text that was read: nothing, its SHA-256, or all of it and its SHA-256."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One admitted request, however it ended. status_code as in the wire contract; 6 is charged.

    text: what was read, for those who keep it.
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
    """limit, used, remaining: recognitions in the current period; no limit is None, and leaves None."""

    period: Period
    limit: int | None
    used: int
    remaining: int | None


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """Of one day of UTC, or of all (day None): requests that have ended, in all and by status code.

    pictures: recognised ones. characters: read in them. p50_ms, p95_ms: their time in all; None without any.
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
    """first, last: days of UTC, both included. days: those with requests."""

    first: date
    last: date
    total: UsageFigures
    days: tuple[UsageFigures, ...]


@dataclass(frozen=True, slots=True)
class UserUsage:
    """One user among all: requests that have ended in some days, pictures recognised, their characters."""

    username: str
    enabled: bool
    quota: UserQuota
    requests: int
    pictures: int
    characters: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller learns. username, quota: None where it is about everybody. users: for administrators."""

    username: str | None
    quota: UserQuota | None
    report: UsageReport
    users: tuple[UserUsage, ...] | None
