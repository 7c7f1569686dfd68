"""`flask usage flush`: moves usage records from Redis to the SQL database. Any number of movers may run."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from app.errors import DependencyUnavailable, OcrFailed
from app.ports import Clock
from app.state.redis_front.admission import RedisState
from app.state.redis_front.client import RedisLink, RedisUnavailable, Script
from app.state.redis_front.pending import DEAD, GROUP, OPEN, STREAM, Held
from app.state.redis_front.spool import SpoolUnavailable
from app.state.sql import records
from app.state.sql.quota import Budget
from app.state.sql.store import SqlStore

BATCH = 200
IDLE_S = 0.2
SWEEP_S = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10

log = logging.getLogger("ocr")


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the stream, as it was found; held is None where it is none of ours, and why says so."""

    entry_id: str
    text: str
    held: Held | None
    why: str = ""


class Mover:
    """name: of this process, unlike any other's. claim_after_s: when the entries of a mover that says nothing
    any more are taken over. abandoned_after_s: when a request that still runs was lost with its worker.
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
        self._acknowledge = Script(link, "acknowledge")
        self._swept_at = self._spool_from = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Move until told to stop; what is under way is finished."""
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
        """Until nothing is left; how many entries left the stream. Raises DependencyUnavailable."""
        total = 0
        while moved := self.move():
            total += moved
        self._leave()
        return total

    def move(self) -> int:
        """One round; how many entries left the stream. Raises DependencyUnavailable."""
        self._drain_spool()
        if self._clock.monotonic() - self._swept_at >= SWEEP_S:
            self._close_lost()
            self._swept_at = self._clock.monotonic()
        return sum(self._store(entries) for entries in (self._own(), self._of_the_dead(), self._new()))

    def _drain_spool(self) -> None:
        """A folder that cannot be written to holds up nothing else; it is tried again a while later."""
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
        """What this process has read, and could not store."""
        return self._read("0")

    def _new(self) -> list[Entry]:
        return self._read(">")

    def _read(self, after: str) -> list[Entry]:
        command = ("XREADGROUP", "GROUP", GROUP, self._name, "COUNT", BATCH, "STREAMS", STREAM, after)
        found = self._grouped(*command)
        return [_entry(*raw) for raw in found[0][1]] if found else []

    def _of_the_dead(self) -> list[Entry]:
        command = ("XAUTOCLAIM", STREAM, GROUP, self._name, self._claim_after_ms, "0-0", "COUNT", BATCH)
        claimed = [_entry(*raw) for raw in self._grouped(*command)[1]]
        if claimed:
            _log("entries of a silent mover taken over", logging.WARNING, entries=len(claimed))
        return claimed

    def _grouped(self, *command: str | int) -> Any:
        """A command that needs the group, which an emptied Redis has lost."""
        try:
            return self._link.ask(*command)
        except RedisUnavailable as error:
            if error.code != "NOGROUP":
                raise
        with suppress(RedisUnavailable):  # another may have made it meanwhile; else the next command says so
            self._link.ask("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM")
            _log("group made")
        return self._link.ask(*command)

    def _store(self, entries: Sequence[Entry]) -> int:
        """Into the database, in one transaction; then, once that is committed, off the stream."""
        good = [(entry, entry.held) for entry in entries if entry.held is not None]
        bad = [(entry, entry.why) for entry in entries if entry.held is None]
        if good:
            rows, now_ms = [held.row for _, held in good], int(self._clock.now() * 1000)
            with self._sql.database.write() as connection:
                stored = records.store(connection, rows, now_ms=now_ms)
            _log("records committed", records=len(good) - len(stored.refused))
            for place, (entry, held) in enumerate(good):
                if place in stored.refused:
                    bad.append((entry, stored.refused[place]))
                else:
                    self._take_off(entry, held, "new" if held.request_id in stored.charged else "known")
        for entry, why in bad:
            if self._take_off(entry, entry.held, "none", why):
                _log("dead letter", logging.ERROR, entry=entry.entry_id, why=why)
        if entries:
            _log("entries taken off", entries=len(entries))
        return len(entries)

    def _take_off(self, entry: Entry, held: Held | None, row: str, why: str = "") -> bool:
        """False if another mover has done so."""
        budget = held.budget if held else Budget(0)
        taken = self._acknowledge(
            [STREAM, budget.held_key, budget.quota_key, DEAD],
            GROUP,
            entry.entry_id,
            held.request_id if held else "",
            int(held is not None and held.charged),
            row,
            entry.text,
            why,
            budget.ends_ms or "",
        )
        return bool(taken)

    def _close_lost(self) -> None:
        """finished_at stays NULL: nobody has reported, so a late report still counts."""
        before = int(self._clock.now() * 1000) - self._abandoned_after_ms
        found = self._link.ask("ZRANGEBYSCORE", OPEN, "-inf", before, "WITHSCORES", "LIMIT", 0, BATCH)
        for member, started_at in zip(found[::2], found[1::2], strict=True):
            try:
                lost = Held.from_member(member, int(started_at))
            except ValueError:
                self._link.ask("ZREM", OPEN, member)
                _log("no request of ours, forgotten", logging.ERROR, member=member)
                continue
            self._state.close(replace(lost, row={**lost.row, "status_code": OcrFailed.status_code}))
            _log("lost request closed", logging.WARNING, request_id=lost.request_id)

    def _leave(self) -> None:
        """Only while nothing is left under this name: it would be forgotten with it."""
        if not self._own():
            self._link.ask("XGROUP", "DELCONSUMER", STREAM, GROUP, self._name)


def _entry(entry_id: str, fields: list[str] | None) -> Entry:
    """fields: None for one that was removed from the stream while it was pending."""
    if fields is None:
        return Entry(entry_id, "", None, "it was removed from the stream")
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    text = named.get("entry", "")
    try:
        return Entry(entry_id, text, Held.from_json(text))
    except (ValueError, KeyError, TypeError) as error:
        return Entry(entry_id, text, None, f"not a record: {error!r}")


def _log(event: str, level: int = logging.INFO, **fields: object) -> None:
    log.log(level, event, extra={"fields": fields})
