"""Users, their secrets, and what they may still read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

USERNAME = r"[A-Za-z0-9_.-]{1,64}"
"""What a user may be called, as a regular expression; compared byte for byte."""

Period = Literal["none", "day", "month"]
"""How long a quota lasts before it begins anew, in UTC; none is for ever."""


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
