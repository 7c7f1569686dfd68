"""Identifiers of requests that no proxy has named."""

from __future__ import annotations

import secrets
import time


def new_request_id() -> str:
    """32 hex digits that sort by time, as UUID version 7 (RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1
    return f"{value:032x}"
