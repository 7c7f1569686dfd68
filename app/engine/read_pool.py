"""Where pictures are read: beside gevent's loop, never on it, and never more than can be done in time.

A read takes up to a second of CPU. On the loop it would stall every other request and gunicorn's heartbeat;
in gevent's native thread pool it does not, because the runtimes release the GIL while they compute.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from app.errors import Busy, OcrFailed, ServiceError
from app.limits.shares import UserPlace, UserShares, share_of
from app.model.reading import ReadOptions, ReadResult
from app.ports import Clock, not_cancelled
from app.system.memory import give_back_free_pages, resident_mb


class Read(Protocol):
    def __call__(self, data: bytes, options: ReadOptions) -> ReadResult: ...

    def warm_up(self) -> None:
        """Do what would make the first reads slow."""


# A picture that is still being fetched after this long may never come: it no longer keeps others out.
FETCHING_COUNTS_S = 1.0
# Of the longest wait: how long whoever was let in may wait, since the estimate is no more than that, and to
# refuse now would waste all of the wait.
GRACE = 1.25
# What one read is thought to take before any was measured.
FIRST_GUESS_S = 0.5
# How often it is looked whether the caller of a waiting request has hung up.
LOOK_AGAIN_S = 0.25
CALLER_GONE = "the caller has hung up"
# Weight of the newest read in the moving average.
NEWEST = 0.2


class Inline:
    """Reads in the caller's own thread, one picture at a time: tests, the command line and `flask run`."""

    def __init__(self, build: Callable[[], Read], *, clock: Clock) -> None:
        self._build = build
        self._clock = clock
        self._lock = threading.Lock()
        self._reader: Read | None = None

    def start(self) -> None:
        with self._lock:
            self._started()

    def ready(self) -> bool:
        self.start()
        return True

    def reserve(
        self, deadline: float, cancelled: Callable[[], bool] = not_cancelled, username: str = ""
    ) -> InlinePlace:
        return InlinePlace(self)

    def read(self, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        arrived = self._clock.monotonic()
        with self._lock:
            waited = self._clock.monotonic() - arrived
            return _result(_attempt(self._started(), data, options)), round(waited * 1000)

    def _started(self) -> Read:
        self._reader = self._reader or self._build()
        return self._reader


class InlinePlace:
    def __init__(self, owner: Inline) -> None:
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        return self._owner.read(data, options)


class NativeThreads:
    """Reads in gevent's native threads, `threads` pictures at once.

    The reader is built and warmed up in such a thread too, by start(). We count who is waiting ourselves,
    since the pool's own queue has no limit, and refuse a newcomer by the time it would have to wait.

    Users take turns, so that one who sends many pictures delays the next of another by one read. user_share
    (0-1): of the queue, up to which a user's picture is let in by what waits now; further ones as if every
    user who waits went on to send.

    queue_wait_s: the longest wait for a thread. read_limit_s: a read that takes longer cannot be stopped, so
    its caller is answered, and no new work is taken; refuse(picture) sees to it that it is not read again.
    max_worker_mb: the size that this process may have after a read, 0 for any; a larger one goes on until it
    is replaced. replace_worker(why) asks for that, once. watch_queue(length) is told how many places are
    taken, whenever that changes.
    """

    def __init__(
        self,
        build: Callable[[], Read],
        *,
        threads: int,
        user_share: float,
        queue_wait_s: float,
        read_limit_s: float,
        max_worker_mb: int,
        clock: Clock,
        refuse: Callable[[bytes], None],
        replace_worker: Callable[[str], None],
        watch_queue: Callable[[int], None],
    ) -> None:
        self._build = build
        self._threads = threads
        self._user_share = user_share
        self._queue_wait_s = queue_wait_s
        self._read_limit_s = read_limit_s
        self._max_worker_mb = max_worker_mb
        self._clock = clock
        self._refuse = refuse
        self._replace_worker = replace_worker
        self._watch_queue = watch_queue
        self._pool = ThreadPool(threads)
        self._turns = UserShares(threads, 1, clock, what="engine thread", signal=Event)
        self._places: set[NativePlace] = set()
        self._read_s = FIRST_GUESS_S
        self._reader: Read | None = None
        self._overrun = False
        self._leaving = False

    def start(self) -> None:
        reader = self._pool.apply(self._build)
        self._pool.apply(reader.warm_up)
        self._reader = reader

    def ready(self) -> bool:
        return self._reader is not None and not self._overrun

    def reserve(
        self, deadline: float, cancelled: Callable[[], bool] = not_cancelled, username: str = ""
    ) -> NativePlace:
        if cancelled():
            raise Busy(CALLER_GONE)
        if not self.ready():
            raise Busy("the engine is not ready", retry_after=1)
        now = self._clock.monotonic()
        wait_s = self._expected_wait_s(username)
        # Where a thread is free the estimate decides nothing: it may be wrong, and only reads correct it.
        if wait_s > min(self._queue_wait_s, max(0.0, deadline - now - self._read_s)):
            raise Busy(f"{wait_s:.1f} s to wait", retry_after=self._retry_after(wait_s))
        return NativePlace(self, deadline, now, cancelled, username)

    def _expected_wait_s(self, username: str) -> float:
        """Of a further picture of this user, before which each other user gets as many turns as this one."""
        now = self._clock.monotonic()
        waiting = Counter(place.username for place in self._places if place.wants_turn(now))
        own = waiting.pop(username, 0)
        share = share_of(self._queue_wait_s / self._read_s * self._threads, self._user_share)
        others = (min(count, own + 1) if own < share else own + 1 for count in waiting.values())
        ahead = sum(place.reading for place in self._places) + own + sum(others)
        return max(0, ahead + 1 - self._threads) * self._read_s / self._threads

    def _retry_after(self, wait_s: float) -> int:
        return max(1, math.ceil(wait_s - self._queue_wait_s / 2))

    def enter(self, place: NativePlace) -> None:
        self._places.add(place)
        self._watch_queue(len(self._places))

    def leave(self, place: NativePlace) -> None:
        self._places.discard(place)
        self._watch_queue(len(self._places))

    def read(self, place: NativePlace, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        arrived, deadline = self._clock.monotonic(), place.deadline
        with _while_somebody_waits(place.gone):
            longest_s = min(GRACE * self._queue_wait_s, deadline - arrived)
            turn = self._turns.take(place.username, arrived + longest_s)
            if turn is None:
                raise Busy(
                    "waited in vain", retry_after=self._retry_after(self._expected_wait_s(place.username))
                )
        begun = self._clock.monotonic()
        try:
            job = self._pool.spawn(_attempt, self._reader, data, options)
        except BaseException:
            self._turns.give_back(turn)
            raise
        place.reading = True
        watch = gevent.spawn_later(self._read_limit_s, self._give_up, data)
        job.rawlink(lambda _: self._done(place, turn, watch, begun))
        try:
            outcome = job.get(timeout=max(0.0, min(deadline - begun, self._read_limit_s)))
        except gevent.Timeout:
            if self._clock.monotonic() < deadline:
                raise OcrFailed(f"reading took over {self._read_limit_s} s") from None
            raise Busy("the deadline passed while reading", retry_after=1) from None
        self._check_size()
        return _result(outcome), round((begun - arrived) * 1000)

    def _done(self, place: NativePlace, turn: UserPlace, watch: gevent.Greenlet, begun: float) -> None:
        """The thread is free again, whether or not anybody still waits for what it read."""
        watch.kill(block=False)
        self.leave(place)
        self._read_s += NEWEST * (self._clock.monotonic() - begun - self._read_s)
        self._turns.give_back(turn)

    def _give_up(self, data: bytes) -> None:
        self._overrun = True
        try:
            self._refuse(data)
        finally:
            self._leave_service(f"a read took over {self._read_limit_s:g} s")

    def _check_size(self) -> None:
        if self._max_worker_mb and (size := resident_mb()) > self._max_worker_mb:
            self._leave_service(f"{size:.0f} MB are more than {self._max_worker_mb}")

    def _leave_service(self, why: str) -> None:
        if not self._leaving:
            self._leaving = True
            self._replace_worker(why)


class NativePlace:
    """A place in the queue. It counts while its picture may come soon, and until its read is done.

    reading: a thread is at work on it, even if its caller's deadline has passed.
    """

    def __init__(
        self, owner: NativeThreads, deadline: float, since: float, gone: Callable[[], bool], username: str
    ) -> None:
        self.deadline = deadline
        self.username = username
        self.gone = gone
        self.reading = False
        self._owner = owner
        self._since = since
        self._waiting = False

    def wants_turn(self, now: float) -> bool:
        """Its picture is here, or may come soon."""
        return not self.reading and (self._waiting or now - self._since < FETCHING_COUNTS_S)

    def __enter__(self) -> Self:
        self._owner.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        if not self.reading:
            self._owner.leave(self)

    def read(self, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        self._waiting = True
        return self._owner.read(self, data, options)


@contextmanager
def _while_somebody_waits(gone: Callable[[], bool]) -> Iterator[None]:
    """Raise Busy inside, wherever it waits, once the caller has hung up: as gevent's Timeout does.

    The timer's callback runs in the hub, so what it raises can only reach the greenlet while that waits.
    """
    if gone():
        raise Busy(CALLER_GONE)
    waiter = gevent.getcurrent()
    timer = gevent.get_hub().loop.timer(LOOK_AGAIN_S, repeat=LOOK_AGAIN_S)

    def look() -> None:
        if gone():
            timer.stop()
            waiter.throw(Busy(CALLER_GONE))

    timer.start(look)
    try:
        yield
    finally:
        timer.stop()
        timer.close()


def _attempt(reader: Read, data: bytes, options: ReadOptions) -> ReadResult | Exception:
    """Read, with any failure as a value: gevent's pool would print its traceback."""
    try:
        return reader(data, options)
    except Exception as error:
        return error
    finally:
        give_back_free_pages()


def _result(outcome: ReadResult | Exception) -> ReadResult:
    if isinstance(outcome, ReadResult):
        return outcome
    if isinstance(outcome, ServiceError):
        raise outcome
    raise OcrFailed(repr(outcome)) from outcome
