"""Users, their secrets and their quotas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

USERNAME = r"[A-Za-z0-9_.-]{1,64}"
"""Regular expression of a user name. Names are compared byte for byte."""

Period = Literal["none", "day", "month"]
"""After what time a quota is renewed, in UTC; none is never."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user as authentication sees it.

    secrets: the active ones, newest first, at most two.
    quota_limit: recognitions granted in a period; None is unlimited.
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
    """What a cache knows of a user. fresh: new enough to be used without asking the database."""

    account: Account | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """limit: recognitions granted in the user's period. remaining: what is left. None is unlimited."""

    limit: int | None
    remaining: int | None
