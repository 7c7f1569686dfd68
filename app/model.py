"""What travels between the layers: plain, frozen, free of I/O and of any library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

RECOGNISED = 6
"""The wire contract's status code of success, the only one that is charged."""

USERNAME = r"[A-Za-z0-9_.-]{1,64}"
"""What a user may be called, as a regular expression; compared byte for byte."""

Value = str | int | bool
"""What a field of a request's flat body may hold."""

CharsetName = Literal["full", "latin", "digits", "chinese+latin"]
"""The sets of characters that a caller may restrict recognition to."""

Period = Literal["none", "day", "month"]
"""How long a quota lasts before it begins anew, in UTC; none is for ever."""

KeepText = Literal["none", "hash", "full"]
"""What is kept of the text that was read: nothing, its SHA-256, or all of it and its SHA-256."""

Point = tuple[int, int]
Quad = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a caller may choose for one picture.

    min_score: lines recognised with a lower mean character probability (0-1) are left out.
    side_limit: longest side in pixels that detection works on; None takes the service's default, and more
    where the text is small.
    charset: what characters may be found; None takes the service's default.
    orient: the page may lie on its side or upside down; worth its time only where that is to be expected.
    """

    boxes: bool = True
    min_score: float = 0.5
    side_limit: int | None = None
    charset: CharsetName | None = None
    orient: bool = False


def nothing() -> None:
    pass


def never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class OcrRequest:
    """One request in the terms of the contract, its field forms checked, nothing of it trusted yet.

    signed_fields: every field that the signature covers, as it is written in the string to sign.
    picture: gives the bytes that came with the request, None where picture_url names them. They are decoded
    at the first call, which is not made before the signature was found good; it may raise RequestMalformed.
    deadline: on the monotonic clock, in seconds. gone: whether its caller has hung up.
    proven: called once the signature was found good.
    address: whom it came from, as far as that can be believed; empty over a Unix socket.
    """

    request_id: str
    username: str
    nonce: str
    sign: str
    timestamp: int | None
    legacy: bool
    signed_fields: Mapping[str, str]
    deadline: float
    picture_url: str | None = None
    picture: Callable[[], bytes] | None = field(default=None, repr=False)
    picture_sha256: str | None = None
    options: ReadOptions = ReadOptions()
    address: str = ""
    gone: Callable[[], bool] = never
    proven: Callable[[], None] = nothing


@dataclass(frozen=True, slots=True)
class Account:
    """A user as authentication sees it.

    secrets: the active ones, newest first, at most two.
    quota_limit: recognitions granted in a period; None is without limit.
    """

    user_id: int
    username: str
    secrets: tuple[str, ...] = field(repr=False)
    enabled: bool = True
    allow_legacy_sign: bool = False
    quota_limit: int | None = None
    quota_period: Period = "none"


@dataclass(frozen=True, slots=True)
class CachedAccount:
    """What a cache knows of a user. fresh: it may be served without a look into the database."""

    account: Account | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """Recognitions granted in the user's period, and left of them; both None for a user without limit."""

    limit: int | None
    remaining: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """One recognised line: its text, mean character probability (0-1) and quadrilateral.

    box: pixels of the upright picture, clockwise from the corner where the text begins.
    """

    text: str
    score: float
    box: Quad


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of one picture in reading order, and the name of the model that read them.

    detection_ms, recognition_ms: how long each took; None where the engine does not part them. They are no
    part of what was read: pages compare without them.
    """

    lines: tuple[Line, ...]
    model: str
    detection_ms: int | None = field(default=None, compare=False)
    recognition_ms: int | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What was read: upright size in pixels, container format, lower-case hex digest of the bytes."""

    width: int
    height: int
    format: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read returns from the engine's thread: the page, the picture, and how long each took (ms)."""

    page: Page
    picture: PictureInfo
    decode_ms: int
    ocr_ms: int


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Milliseconds spent waiting for an engine, fetching, decoding, reading, and in all."""

    queue: int = 0
    fetch: int = 0
    decode: int = 0
    ocr: int = 0
    total: int = 0


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


@dataclass(frozen=True, slots=True)
class OcrAnswer:
    """A success in the terms of the contract."""

    request_id: str
    reading: Reading
    elapsed: Elapsed
    quota: Quota
    boxes: bool = True
