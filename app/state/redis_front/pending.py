"""A request between its admission and its row: what Redis, the stream and the spool keep of it, and where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Self

from app.model.account import Period
from app.model.usage import RECOGNISED
from app.state.sql.quota import Budget

EPOCH = "ocr:epoch"
OPEN = "ocr:open"
STREAM = "ocr:usage"
DEAD = "ocr:usage:dead"
GROUP = "mover"
ACCOUNTS = "ocr:accounts"
ACCOUNTS_VERSION = "ocr:accounts:version"


def nonce_key(user_id: int, nonce: str) -> str:
    return f"ocr:nonce:{user_id}:{nonce}"


def recognised_key(request_id: str) -> str:
    return f"ocr:recognised:{request_id}"


def rate_key(user_id: int) -> str:
    return f"ocr:rate:{user_id}"


@dataclass(frozen=True, slots=True)
class Held:
    """An admitted request. row: of usage_records, as far as it is known; None for status_code while it runs.

    only_if_open: to be closed if it was begun, and to leave no trace if it never was.
    """

    budget: Budget
    row: Mapping[str, Any] = field(repr=False)
    only_if_open: bool = False

    @property
    def request_id(self) -> str:
        found: str = self.row["request_id"]
        return found

    @property
    def charged(self) -> bool:
        return bool(self.row["status_code"] == RECOGNISED)

    @property
    def member(self) -> str:
        """What stands in OPEN: enough to close it when its worker is gone."""
        parts = (self.request_id, self.row["username"], *astuple(self.budget))
        return "|".join("" if part is None else str(part) for part in parts)

    def as_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError for anything else than as_json has made."""
        fields = json.loads(text)
        held = cls(Budget(**fields["budget"]), fields["row"], bool(fields["only_if_open"]))
        budget = held.budget
        _require(int, budget.user_id, budget.starts_ms, budget.ends_ms or 0)
        _require(str, budget.period, *(held.row[name] for name in ("request_id", "username")))
        _require(int, held.row["user_id"], held.row["started_at"], held.row["status_code"] or 0)
        return held

    @classmethod
    def from_member(cls, member: str, started_at: int) -> Self:
        request_id, username, user_id, period, starts_ms, ends_ms = member.split("|")
        budget = Budget(int(user_id), _period(period), int(starts_ms), int(ends_ms) if ends_ms else None)
        row = {
            "request_id": request_id,
            "user_id": budget.user_id,
            "username": username,
            "started_at": started_at,
        }
        return cls(budget, row, only_if_open=True)


def _require(kind: type, *values: object) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")


def _period(name: str) -> Period:
    return "day" if name == "day" else "month" if name == "month" else "none"
