"""A request between its admission and its database row, as Redis and the spool store it.

Workers of two releases read each other's text during an upgrade: the names and the order in it do not change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from app.model.account import Account, Period
from app.model.usage import RECOGNISED
from app.state.sql.quota_period import QuotaPeriod


@dataclass(frozen=True, slots=True)
class PendingUsage:
    """An admitted request whose usage record is not in the database yet.

    row: columns of usage_records as far as they are known; it has a status_code once the request has ended.
    only_if_open: close the request if it was admitted, and leave no trace if it was not.
    """

    period: QuotaPeriod
    row: Mapping[str, Any] = field(repr=False)
    only_if_open: bool = False

    @classmethod
    def begin(cls, account: Account, request_id: str, now_ms: int) -> Self:
        row = {
            "request_id": request_id,
            "user_id": account.user_id,
            "username": account.username,
            "started_at": now_ms,
        }
        return cls(QuotaPeriod.of(account, now_ms), row)

    def updated(self, **columns: Any) -> Self:
        return replace(self, row={**self.row, **columns})

    @property
    def request_id(self) -> str:
        found: str = self.row["request_id"]
        return found

    @property
    def charged(self) -> bool:
        return bool(self.row["status_code"] == RECOGNISED)

    @property
    def member(self) -> str:
        """The element of OPEN: enough to close the request after its worker died."""
        period = self.period
        parts = (
            self.request_id,
            self.row["username"],
            period.user_id,
            period.kind,
            period.starts_ms,
            period.expires_ms,
        )
        return "|".join("" if part is None else str(part) for part in parts)

    def as_json(self) -> str:
        period = self.period
        fields = {
            "budget": {
                "user_id": period.user_id,
                "period": period.kind,
                "starts_ms": period.starts_ms,
                "ends_ms": period.expires_ms,
            },
            "row": dict(self.row),
            "only_if_open": self.only_if_open,
        }
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError for text that as_json did not make."""
        fields = json.loads(text)
        budget, row = fields["budget"], fields["row"]
        period = QuotaPeriod(budget["user_id"], budget["period"], budget["starts_ms"], budget["ends_ms"])
        _require(int, period.user_id, period.starts_ms, period.expires_ms or 0)
        _require(str, period.kind, row["request_id"], row["username"])
        _require(int, row["user_id"], row["started_at"], row["status_code"] or 0)
        return cls(period, row, bool(fields["only_if_open"]))

    @classmethod
    def from_member(cls, member: str, started_at: int) -> Self:
        """Raises ValueError for an element that `member` did not make."""
        request_id, username, user_id, kind, starts_ms, ends_ms = member.split("|")
        period = QuotaPeriod(
            int(user_id), _period_kind(kind), int(starts_ms), int(ends_ms) if ends_ms else None
        )
        row = {
            "request_id": request_id,
            "user_id": period.user_id,
            "username": username,
            "started_at": started_at,
        }
        return cls(period, row, only_if_open=True)


def _require(kind: type, *values: object) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")


def _period_kind(name: str) -> Period:
    return "day" if name == "day" else "month" if name == "month" else "none"
