"""Which pictures a worker admits: those that a thread of the engine can read in time.

Arithmetic alone: nothing here waits for anything. `read_pool` does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Busy
from app.limits.shares import share_of
from app.ports import Clock

FETCHING_COUNTS_S = 1.0
"""A picture that is fetched for longer may never arrive, and no longer keeps other pictures out."""
GRACE = 1.25
"""Admitted pictures may wait 25 % longer than `queue_wait_s`, because admission is only an estimate."""
FIRST_GUESS_S = 0.5
"""Assumed time of one read until reads have been measured."""
NEWEST = 0.2
"""Weight of the newest read in the moving average."""


@dataclass(slots=True, eq=False)
class QueueEntry:
    """A picture from its reservation to the end of its read. Times are on the monotonic clock, in seconds.

    reading: a thread reads it, even if its caller's deadline has passed meanwhile.
    """

    username: str
    deadline: float
    reserved_at: float
    picture_ready: bool = False
    reading: bool = False

    def may_arrive_soon(self, now: float) -> bool:
        return now - self.reserved_at < FETCHING_COUNTS_S

    def delays_others(self, now: float) -> bool:
        return not self.reading and (self.picture_ready or self.may_arrive_soon(now))


class AdmissionQueue:
    """Estimates how long a further picture would wait, and refuses it where that is too long.

    threads: how many pictures are read at once. queue_wait_s: the longest estimated wait of a picture that
    is admitted.
    user_share (0-1): while a user's waiting pictures are a smaller part of the queue than this, the estimate
    counts the pictures that wait now. Beyond, it assumes that every other waiting user sends as many.
    watch_length: called with the number of entries whenever that changes.
    """

    def __init__(
        self,
        *,
        threads: int,
        user_share: float,
        queue_wait_s: float,
        clock: Clock,
        watch_length: Callable[[int], None],
    ) -> None:
        self.threads = threads
        self._user_share = user_share
        self._queue_wait_s = queue_wait_s
        self._clock = clock
        self._watch_length = watch_length
        self._entries: set[QueueEntry] = set()
        self._read_s = FIRST_GUESS_S

    def admit(self, username: str, deadline: float) -> QueueEntry:
        """An entry for `enter`. Raises Busy, with retry_after, if the picture could not be read in time."""
        now = self._clock.monotonic()
        wait_s = self.expected_wait_s(username)
        # A picture that need not wait is always admitted, however near its deadline: the average time of a
        # read may be wrong, and only further reads correct it.
        if wait_s > min(self._queue_wait_s, max(0.0, deadline - now - self._read_s)):
            raise Busy(f"{wait_s:.1f} s to wait", retry_after=self._retry_after(wait_s))
        return QueueEntry(username, deadline, now)

    def enter(self, entry: QueueEntry) -> None:
        self._entries.add(entry)
        self._watch_length(len(self._entries))

    def leave(self, entry: QueueEntry) -> None:
        self._entries.discard(entry)
        self._watch_length(len(self._entries))

    def wait_until(self, entry: QueueEntry) -> float:
        """When a picture that is ready now stops waiting for a thread, on the monotonic clock."""
        return min(self._clock.monotonic() + GRACE * self._queue_wait_s, entry.deadline)

    def waited_too_long(self, entry: QueueEntry) -> Busy:
        """The error for a picture that was admitted but got no thread."""
        wait_s = self.expected_wait_s(entry.username)
        return Busy("no thread was free in time", retry_after=self._retry_after(wait_s))

    def read_took(self, seconds: float) -> None:
        self._read_s += NEWEST * (seconds - self._read_s)

    def expected_wait_s(self, username: str) -> float:
        """For a further picture of this user: every other user gets as many turns before it as this user."""
        now = self._clock.monotonic()
        waiting = Counter(entry.username for entry in self._entries if entry.delays_others(now))
        own = waiting.pop(username, 0)
        share = share_of(self._queue_wait_s / self._read_s * self.threads, self._user_share)
        others = (min(count, own + 1) if own < share else own + 1 for count in waiting.values())
        ahead = sum(entry.reading for entry in self._entries) + own + sum(others)
        return max(0, ahead + 1 - self.threads) * self._read_s / self.threads

    def _retry_after(self, wait_s: float) -> int:
        return max(1, math.ceil(wait_s - self._queue_wait_s / 2))
