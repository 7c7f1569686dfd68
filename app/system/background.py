"""Run work outside of gevent's event loop, which it would block."""

from __future__ import annotations

import threading
from _queue import SimpleQueue  # gevent replaces that of `queue`
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import gevent
from gevent.exceptions import InvalidSwitchError
from gevent.hub import Waiter
from gevent.monkey import get_original

T = TypeVar("T")


class NativeThreads:
    """For work that blocks without gevent's knowledge, such as SQLite. A job must not use anything that
    gevent has patched: locks, sleep, sockets.
    """

    def __init__(self, threads: int) -> None:
        self._unstarted = threads
        self._tasks: SimpleQueue[_Task[Any]] = SimpleQueue()

    def run(self, job: Callable[[], T]) -> T:
        """Run the job in a thread and return its result. gevent's ThreadPool has twice the overhead."""
        if self._unstarted:
            get_original("_thread", "start_new_thread")(self._work, ())
            self._unstarted -= 1
        waiter = Waiter()
        done = gevent.get_hub().loop.async_()
        task = _Task(job, done.send)
        done.start(waiter.switch, task)
        try:
            self._tasks.put(task)
            if waiter.get() is not task:
                raise InvalidSwitchError("something else than the end of its job has woken the caller")
        finally:
            task.abandoned = True
            done.stop()  # not close(): after the caller was killed, the thread still sends
        if task.error is not None:
            raise task.error
        return cast(T, task.value)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if not task.abandoned:
                task.do()


class Greenlets:
    """For work that waits for a socket, and so does not block the loop. at_once: maximum concurrent jobs."""

    def __init__(self, at_once: int) -> None:
        self._turns = threading.BoundedSemaphore(at_once)

    def run(self, job: Callable[[], T]) -> T:
        with self._turns:
            return job()


@dataclass(slots=True)
class _Task(Generic[T]):
    """abandoned: the caller no longer waits, so a job that has not started never does."""

    job: Callable[[], T]
    done: Callable[[], None]
    value: T | None = None
    error: BaseException | None = None
    abandoned: bool = False

    def do(self) -> None:
        try:
            self.value = self.job()
        except BaseException as error:
            self.error = error
        self.done()
