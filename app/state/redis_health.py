"""What an operator wants to know of Redis: what waits in it, and whether it is set up to lose nothing."""

from __future__ import annotations

from collections.abc import Iterator

from app.errors import DependencyUnavailable
from app.ports import Clock
from app.state.held import DEAD, OPEN, STREAM
from app.state.redis_link import RedisLink
from app.state.spool import Spool

OLDEST_VERSION = (7, 0)


def backlog(link: RedisLink, spool: Spool, clock: Clock) -> dict[str, float]:
    """By exposition.BACKLOG' names; without Redis only what lies on the disk."""
    found: dict[str, float] = {"spool_records": len(spool)}
    try:
        oldest = link.ask("XRANGE", STREAM, "-", "+", "COUNT", 1)
        found["stream_records"] = link.ask("XLEN", STREAM)
        found["dead_letters"] = link.ask("XLEN", DEAD)
        found["open_requests"] = link.ask("ZCARD", OPEN)
    except DependencyUnavailable:
        return found
    added_ms = int(oldest[0][0].partition("-")[0]) if oldest else None
    found["stream_lag_seconds"] = max(0.0, clock.now() - added_ms / 1000) if added_ms else 0.0
    return found


def findings(link: RedisLink) -> Iterator[tuple[bool, str]]:
    """Whether each is as it must be, and what it is about. Raises DependencyUnavailable."""
    info = _info(link, "server") | _info(link, "persistence") | _info(link, "memory")
    version = info["redis_version"]
    recent = tuple(map(int, version.split(".")[:2])) >= OLDEST_VERSION
    yield recent, f"Redis is 7.0 or newer ({version})"
    aof = info["aof_enabled"] == "1"
    yield aof, "Redis keeps an append-only file (appendonly yes): without, a restart forgets used nonces"
    policy = info["maxmemory_policy"]
    yield policy == "noeviction", f"Redis evicts nothing (maxmemory-policy noeviction; it is {policy})"


def _info(link: RedisLink, section: str) -> dict[str, str]:
    lines = link.ask("INFO", section).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
