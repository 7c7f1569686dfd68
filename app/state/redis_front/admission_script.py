"""The call of lua/admit.lua: what the script is given, and what it decides."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypedDict

from app.errors import (
    DependencyUnavailable,
    NonceReplayed,
    QuotaExhausted,
    RateLimited,
    ServiceError,
    TimestampExpired,
)
from app.state.redis_front.client import RedisLink, Script


class Outcome(StrEnum):
    ADMITTED = "admitted"
    TOO_LATE = "too_late"
    NO_EPOCH = "no_epoch"
    BEFORE_EPOCH = "before_epoch"
    REPLAYED = "replayed"
    ROWS_UNKNOWN = "rows_unknown"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"


class AdmissionKeys(NamedTuple):
    """In the order in which the script unpacks KEYS."""

    epoch: str
    nonce: str
    rate: str
    quota: str
    held: str
    open: str
    recognised: str


class AdmissionRequest(TypedDict):
    """The script's argument, a JSON object without the fields that are None.

    deadline_ms: on Redis's clock; later than that, the script does nothing.
    signed_ms: when the request was signed; None if its signature does not cover the time. interval_us,
    tolerance_us: the user's Rate. quota_limit: None without limit. member: the element of OPEN.
    started_ms: its score. period_expires_ms: when Redis may forget the quota's period; None for never.
    """

    deadline_ms: int
    signed_ms: int | None
    request_id: str
    nonce_ttl_ms: int
    interval_us: int
    tolerance_us: int
    quota_limit: int | None
    member: str
    started_ms: int
    period_expires_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """now_ms: Redis's time. The rest belongs to some outcomes only.

    remaining: what an admitted request leaves of the quota; None without limit. started_ms: when it began; a
    retry takes over the start of the first attempt. spent_by: the request that spent the nonce. wait_ms:
    after it, a request that is refused now may be admitted; it may be negative for BEFORE_EPOCH.
    """

    outcome: Outcome
    now_ms: int
    remaining: int | None = None
    started_ms: int = 0
    spent_by: str = ""
    wait_ms: int = 0

    def refusal(self, *, signed: bool, next_period_s: int | None) -> ServiceError:
        """signed: whether the signature covers the time. next_period_s: seconds until the next quota."""
        wait_s = math.ceil(self.wait_ms / 1000)
        match self.outcome:
            case Outcome.REPLAYED:
                return NonceReplayed(f"spent by request {self.spent_by}")
            case Outcome.RATE_LIMITED:
                return RateLimited("over the user's rate", retry_after=wait_s)
            case Outcome.QUOTA_EXHAUSTED:
                return QuotaExhausted("nothing left", retry_after=next_period_s)
            case Outcome.BEFORE_EPOCH if signed and wait_s <= 0:
                return TimestampExpired("signed before Redis was emptied", field="timestamp")
            case Outcome.BEFORE_EPOCH:
                detail = "Redis was emptied: old requests might be replayed"
                return DependencyUnavailable(detail, retry_after=wait_s)
        raise AssertionError(self.outcome)


class AdmissionScript:
    def __init__(self, link: RedisLink) -> None:
        self._admit = Script(link, "admit")

    def decide(self, keys: AdmissionKeys, request: AdmissionRequest) -> Decision:
        """Raises RedisUnavailable."""
        argument = json.dumps({name: value for name, value in request.items() if value is not None})
        answer = self._admit(keys, argument)
        fields = dict(zip(answer[::2], answer[1::2], strict=True))
        return Decision(outcome=Outcome(fields.pop("outcome")), **fields)
