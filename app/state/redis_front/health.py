"""Redis for the operator: how much waits in it, and whether its configuration loses nothing."""

from __future__ import annotations

from collections.abc import Iterator

from app.errors import DependencyUnavailable
from app.ports import Clock
from app.state.redis_front.client import RedisLink, RedisUnavailable
from app.state.redis_front.keys import DEAD, GROUP, OPEN, STREAM
from app.state.redis_front.spool import Spool

OLDEST_VERSION = (7, 0)


def backlog(link: RedisLink, spool: Spool, clock: Clock) -> dict[str, float]:
    """Figures by their names in the metrics. While Redis is down, only the number of spooled records."""
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
    """Pairs of a check's result and its description. Raises DependencyUnavailable."""
    info = _info(link, "server") | _info(link, "persistence") | _info(link, "memory")
    version = info["redis_version"]
    recent = tuple(map(int, version.split(".")[:2])) >= OLDEST_VERSION
    yield recent, f"Redis is 7.0 or newer ({version})"
    aof = info["aof_enabled"] == "1"
    yield aof, "Redis keeps an append-only file (appendonly yes): without, a restart forgets used nonces"
    policy = info["maxmemory_policy"]
    yield policy == "noeviction", f"Redis evicts nothing (maxmemory-policy noeviction; it is {policy})"


def mover_finding(link: RedisLink, silent_after_s: float) -> tuple[bool, str]:
    """Whether a mover has asked for records in the last silent_after_s seconds. Raises DependencyUnavailable.

    A mover asks several times a second, or about every ten seconds while the database is down. When stopped
    it removes its name from Redis's list; when killed it stays in the list and asks no more.
    """
    silent_s = _silent_s(link)
    if not silent_s:
        return False, "no mover runs: `flask usage flush` (ocr-mover) moves the records from Redis"
    name, shortest_s = min(silent_s.items(), key=lambda mover: mover[1])
    if shortest_s > silent_after_s:
        return False, f"no mover runs: {name}, the last one, has been silent for {shortest_s:.0f} s"
    return True, f"a mover runs ({name} asked for records {shortest_s:.1f} s ago)"


def _silent_s(link: RedisLink) -> dict[str, float]:
    """Seconds since each mover last asked for records, by the mover's name."""
    if not link.ask("EXISTS", STREAM):
        return {}
    try:
        consumers = link.ask("XINFO", "CONSUMERS", STREAM, GROUP)
    except RedisUnavailable as error:
        if error.code == "NOGROUP":
            return {}
        raise
    listed = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in consumers]
    return {mover["name"]: mover["idle"] / 1000 for mover in listed}


def _info(link: RedisLink, section: str) -> dict[str, str]:
    lines = link.ask("INFO", section).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
