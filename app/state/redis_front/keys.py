"""The keys in Redis. Workers of two releases share them during an upgrade, so their names do not change."""

from __future__ import annotations

from app.state.sql.quota_period import QuotaPeriod

EPOCH = "ocr:epoch"
"""Hash: `id` of the life of this Redis; `opens_ms`, before which no admitted request may have been signed."""

OPEN = "ocr:open"
"""Sorted set of running requests (PendingUsage.member) by the time they started."""

STREAM = "ocr:usage"
"""Stream of ended requests (PendingUsage.as_json) on their way to the database."""

DEAD = "ocr:usage:dead"
"""Stream of entries that the database refused, each with the reason."""

GROUP = "mover"
"""The consumer group of STREAM."""

ACCOUNTS = "ocr:accounts"
"""Hash of users by name, secrets encrypted."""

ACCOUNTS_VERSION = "ocr:accounts:version"
"""Counts changes of users, so that a slow reader does not cache a user who has changed since."""


def nonce_key(user_id: int, nonce: str) -> str:
    """The id of the request that spent the nonce."""
    return f"ocr:nonce:{user_id}:{nonce}"


def recognised_key(request_id: str) -> str:
    """Exists for a moment after the request was charged, in case its answer was lost."""
    return f"ocr:recognised:{request_id}"


def rate_key(user_id: int) -> str:
    """The user's theoretical arrival time in microseconds."""
    return f"ocr:rate:{user_id}"


def quota_key(period: QuotaPeriod) -> str:
    """Hash: `rows`, the user's charged rows in the period; `changes`, which makes counts under way void."""
    return f"ocr:quota:{period.user_id}:{period.kind}:{period.starts_ms}"


def held_key(period: QuotaPeriod) -> str:
    """Set of ids: the requests that are charged to the period but are not rows yet."""
    return f"ocr:held:{period.user_id}:{period.kind}:{period.starts_ms}"
