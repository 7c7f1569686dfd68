"""Work beside gevent's loop, which it would stop for everybody, and how late the loop is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from gevent.threadpool import ThreadPool

T = TypeVar("T")


class NativeThreads:
    """For work that waits where gevent does not see it, as SQLite does. A job must keep away from all that
    gevent has patched: locks, pauses, sockets.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPool(threads)

    def run(self, job: Callable[[], T]) -> T:
        outcome: _Outcome[T] = self._pool.apply(_attempt, (job,))
        if outcome.error is not None:
            raise outcome.error
        return cast(T, outcome.value)


class Greenlets:
    """For work that waits for a socket, so that the loop goes on meanwhile; at_once: of it."""

    def __init__(self, at_once: int) -> None:
        self._turns = threading.BoundedSemaphore(at_once)

    def run(self, job: Callable[[], T]) -> T:
        with self._turns:
            return job()


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    value: T | None = None
    error: Exception | None = None


def _attempt(job: Callable[[], T]) -> _Outcome[T]:
    """A failure as a value: gevent's pool would print its traceback."""
    try:
        return _Outcome(value=job())
    except Exception as error:
        return _Outcome(error=error)
