"""The mover (`flask usage flush`): moves usage records from Redis to the SQL database.

Any number of movers may run at once.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app.errors import DependencyUnavailable, OcrFailed
from app.ports import Clock
from app.state.redis_front.admission import RedisState
from app.state.redis_front.client import RedisLink, RedisUnavailable, Script
from app.state.redis_front.keys import DEAD, GROUP, OPEN, STREAM, held_key, quota_key
from app.state.redis_front.pending import PendingUsage
from app.state.redis_front.spool import SpoolUnavailable
from app.state.sql import records
from app.state.sql.quota_period import QuotaPeriod
from app.state.sql.store import SqlStore

BATCH = 200
"""Entries of the stream in one transaction of the database."""

IDLE_S = 0.2
"""Pause after a round that found nothing."""

SWEEP_S = 5
"""Interval between two searches for lost requests, and before a failed spool is tried again."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10
"""Bounds of the pause after a failure; it doubles with each further failure."""

log = logging.getLogger("ocr")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the stream. usage: None where the text is not a readable record; why says what is wrong."""

    entry_id: str
    text: str
    usage: PendingUsage | None
    why: str = ""


class Mover:
    """name: unique to this process. claim_after_s: after this long without an acknowledgement, entries that
    another mover has read are taken over. abandoned_after_s: longer than any request may take; a request that
    runs longer was lost with its worker.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        state: RedisState,
        sql: SqlStore,
        clock: Clock,
        name: str,
        claim_after_s: float,
        abandoned_after_s: float,
    ) -> None:
        self._link = link
        self._state = state
        self._sql = sql
        self._clock = clock
        self._name = name
        self._claim_after_ms = round(claim_after_s * 1000)
        self._abandoned_after_ms = round(abandoned_after_s * 1000)
        self._acknowledge_script = Script(link, "acknowledge")
        self._swept_at = self._spool_from = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Move records until stop is set. A round that has begun is finished first."""
        failures = 0
        _log("mover begins", name=self._name)
        while not stop.is_set():
            try:
                moved = self.move()
                failures = 0
            except DependencyUnavailable as error:
                wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**failures) * random.uniform(0.5, 1)  # noqa: S311
                failures += 1
                _log("mover waits", logging.WARNING, why=error.detail, wait_s=round(wait_s, 2))
                stop.wait(wait_s)
            else:
                if not moved:
                    stop.wait(IDLE_S)
        with suppress(DependencyUnavailable):
            self._leave()
        _log("mover ends", name=self._name)

    def move_all(self) -> int:
        """Run rounds until one finds nothing to move. Returns and raises as `move`."""
        total = 0
        while moved := self.move():
            total += moved
        self._leave()
        return total

    def move(self) -> int:
        """One round. Returns how many entries left the stream. Raises DependencyUnavailable."""
        self._drain_spool()
        if self._clock.monotonic() - self._swept_at >= SWEEP_S:
            self._close_lost()
            self._swept_at = self._clock.monotonic()
        return sum(self._store(entries) for entries in (self._own(), self._taken_over(), self._new()))

    def _drain_spool(self) -> None:
        """A folder that cannot be written must not delay the stream: it is tried again after SWEEP_S."""
        if self._clock.monotonic() < self._spool_from:
            return
        try:
            drained = self._state.drain_spool()
        except SpoolUnavailable as error:
            self._spool_from = self._clock.monotonic() + SWEEP_S
            _log("spool cannot be drained", logging.ERROR, why=error.detail)
            return
        if drained:
            _log("spool drained", records=drained)

    def _own(self) -> list[Entry]:
        """Entries that this process has read but not acknowledged yet."""
        return self._read("0")

    def _new(self) -> list[Entry]:
        return self._read(">")

    def _read(self, after: str) -> list[Entry]:
        command = ("XREADGROUP", "GROUP", GROUP, self._name, "COUNT", BATCH, "STREAMS", STREAM, after)
        found = self._grouped(*command)
        return [_entry(*raw) for raw in found[0][1]] if found else []

    def _taken_over(self) -> list[Entry]:
        """Entries that another mover has read and not acknowledged for claim_after_s."""
        command = ("XAUTOCLAIM", STREAM, GROUP, self._name, self._claim_after_ms, "0-0", "COUNT", BATCH)
        claimed = [_entry(*raw) for raw in self._grouped(*command)[1]]
        if claimed:
            _log("entries of a silent mover taken over", logging.WARNING, entries=len(claimed))
        return claimed

    def _grouped(self, *command: str | int) -> Any:
        """The answer to a command that needs the consumer group, which is made if Redis does not have it."""
        try:
            return self._link.ask(*command)
        except RedisUnavailable as error:
            if error.code != "NOGROUP":
                raise
        with suppress(RedisUnavailable):  # made by another mover; other faults fail the next command
            self._link.ask("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM")
            _log("group made")
        return self._link.ask(*command)

    def _store(self, entries: Sequence[Entry]) -> int:
        """Store entries in the database, in one transaction; after its commit, acknowledge each of them."""
        good = [(entry, entry.usage) for entry in entries if entry.usage is not None]
        bad = [(entry, entry.why) for entry in entries if entry.usage is None]
        if good:
            rows, now_ms = [usage.row for _, usage in good], int(self._clock.now() * 1000)
            with self._sql.database.write() as connection:
                stored = records.store(connection, rows, now_ms=now_ms)
            _log("records committed", records=len(good) - len(stored.refused))
            for place, (entry, usage) in enumerate(good):
                if place in stored.refused:
                    bad.append((entry, stored.refused[place]))
                else:
                    self._acknowledge(entry, "new" if usage.request_id in stored.charged else "known")
        for entry, why in bad:
            if self._acknowledge(entry, "none", why):
                _log("dead letter", logging.ERROR, entry=entry.entry_id, why=why)
        if entries:
            _log("entries taken off", entries=len(entries))
        return len(entries)

    def _acknowledge(self, entry: Entry, row: str, why: str = "") -> bool:
        """Remove an entry from the stream. False if another mover has done so.

        row: as in acknowledge.lua. why: the reason where the entry becomes a dead letter.
        """
        usage = entry.usage
        period = usage.period if usage else QuotaPeriod(0)
        removed = self._acknowledge_script(
            [STREAM, held_key(period), quota_key(period), DEAD],
            GROUP,
            entry.entry_id,
            usage.request_id if usage else "",
            int(usage is not None and usage.charged),
            row,
            entry.text,
            why,
            period.expires_ms or "",
        )
        return bool(removed)

    def _close_lost(self) -> None:
        """Close requests that were lost with their worker.

        finished_at stays NULL: if the worker was only slow, its own report still counts.
        """
        before = int(self._clock.now() * 1000) - self._abandoned_after_ms
        found = self._link.ask("ZRANGEBYSCORE", OPEN, "-inf", before, "WITHSCORES", "LIMIT", 0, BATCH)
        for member, started_at in zip(found[::2], found[1::2], strict=True):
            try:
                lost = PendingUsage.from_member(member, int(started_at))
            except ValueError:
                self._link.ask("ZREM", OPEN, member)
                _log("no request of ours, forgotten", logging.ERROR, member=member)
                continue
            self._state.close(lost.updated(status_code=OcrFailed.status_code))
            _log("lost request closed", logging.WARNING, request_id=lost.request_id)

    def _leave(self) -> None:
        """Remove this mover's name from the group, unless entries are assigned to it: they would be lost."""
        if not self._own():
            self._link.ask("XGROUP", "DELCONSUMER", STREAM, GROUP, self._name)


def _entry(entry_id: str, fields: list[str] | None) -> Entry:
    """fields: None where the entry was removed from the stream before it was acknowledged."""
    if fields is None:
        return Entry(entry_id, "", None, "it was removed from the stream")
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    text = named.get("entry", "")
    try:
        return Entry(entry_id, text, PendingUsage.from_json(text))
    except (ValueError, KeyError, TypeError) as error:
        return Entry(entry_id, text, None, f"not a record: {error!r}")


def _log(event: str, level: int = logging.INFO, **fields: object) -> None:
    log.log(level, event, extra={"fields": fields})
