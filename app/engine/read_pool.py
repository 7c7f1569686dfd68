"""Where a gevent worker reads pictures: in native threads beside the loop.

A read takes up to a second of CPU. On the loop it would stall all other requests and gunicorn's heartbeat.
A native thread does not, because the runtimes release the GIL while they compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from app.engine.admission_queue import AdmissionQueue, QueueEntry
from app.engine.attempt import Read, attempt, result_of
from app.engine.watchdog import Watchdog
from app.errors import Busy, OcrFailed, ServiceError
from app.limits.shares import UserPlace, UserShares
from app.model.reading import ReadOptions, ReadResult
from app.ports import Clock

CHECK_CALLER_S = 0.25
"""Interval between checks for a disconnected caller."""


class ReadPool:
    """Implements Offload: reads as many pictures at once as the queue has threads.

    Users take turns, so that many pictures of one user delay the next picture of another user by one read.
    gevent's pool has a queue of its own, without a limit: a picture is put there only when a thread is free.
    """

    def __init__(
        self, build: Callable[[], Read], *, queue: AdmissionQueue, watchdog: Watchdog, clock: Clock
    ) -> None:
        self._build = build
        self._queue = queue
        self._watchdog = watchdog
        self._clock = clock
        self._threads = ThreadPool(queue.threads)
        self._turns = UserShares(queue.threads, 1, clock, what="engine thread", signal=Event)
        self._reader: Read | None = None

    def start(self) -> None:
        reader = self._threads.apply(self._build)
        self._threads.apply(reader.warm_up)
        self._reader = reader

    def ready(self) -> bool:
        return self._reader is not None and not self._watchdog.stuck

    def reserve(self, deadline: float, cancelled: Callable[[], bool], username: str) -> PoolReservation:
        _check_caller(cancelled)
        if not self.ready():
            raise Busy("the engine is not ready", retry_after=1)
        return PoolReservation(self, self._queue.admit(username, deadline), cancelled)

    def enter(self, entry: QueueEntry) -> None:
        self._queue.enter(entry)

    def leave(self, entry: QueueEntry) -> None:
        if not entry.reading:  # else it leaves when its thread is free
            self._queue.leave(entry)

    def read(
        self, entry: QueueEntry, cancelled: Callable[[], bool], data: bytes, options: ReadOptions
    ) -> tuple[ReadResult, int]:
        ready_at = self._clock.monotonic()
        entry.picture_ready = True
        turn = self._wait_for_turn(entry, cancelled)
        started = self._clock.monotonic()
        job = self._start_read(entry, turn, data, options)
        job.wait(timeout=max(0.0, min(entry.deadline - started, self._watchdog.read_limit_s)))
        if not job.ready():
            raise self._unfinished(entry)
        self._watchdog.check_size()
        return result_of(job.get()), round((started - ready_at) * 1000)

    def _wait_for_turn(self, entry: QueueEntry, cancelled: Callable[[], bool]) -> UserPlace:
        _check_caller(cancelled)
        wait_until = self._queue.wait_until(entry)
        turn = self._turns.ask(entry.username)
        try:
            while not turn.served.wait(max(0.0, min(CHECK_CALLER_S, wait_until - self._clock.monotonic()))):
                _check_caller(cancelled)
                if self._clock.monotonic() >= wait_until:
                    raise self._queue.waited_too_long(entry)
        except BaseException:
            self._turns.give_back(turn)
            raise
        return turn

    def _start_read(
        self, entry: QueueEntry, turn: UserPlace, data: bytes, options: ReadOptions
    ) -> AsyncResult:
        started = self._clock.monotonic()
        try:
            job = self._threads.spawn(attempt, self._reader, data, options)
        except BaseException:
            self._turns.give_back(turn)
            raise
        entry.reading = True
        end_watch = self._watchdog.watch_read(data)

        def thread_is_free(_: AsyncResult) -> None:
            """Whether or not a caller still waits for the result. Runs on the hub, so it must not wait."""
            end_watch()
            self._queue.leave(entry)
            self._queue.read_took(self._clock.monotonic() - started)
            self._turns.give_back(turn)

        job.rawlink(thread_is_free)
        return job

    def _unfinished(self, entry: QueueEntry) -> ServiceError:
        """The error for a read that still runs although its caller must be answered."""
        if self._clock.monotonic() < entry.deadline:
            return OcrFailed(f"reading took over {self._watchdog.read_limit_s} s")
        return Busy("the deadline passed while reading", retry_after=1)


@dataclass(frozen=True, slots=True)
class PoolReservation:
    """Implements Reservation: counts in the queue from `with` until its read is done."""

    pool: ReadPool
    entry: QueueEntry
    cancelled: Callable[[], bool]

    def __enter__(self) -> Self:
        self.pool.enter(self.entry)
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.leave(self.entry)

    def read(self, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        return self.pool.read(self.entry, self.cancelled, data, options)


def _check_caller(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Busy("the caller has hung up")
