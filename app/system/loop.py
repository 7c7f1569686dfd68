"""gevent's event loop: its presence, its delay, time limits and precise sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import gevent
from gevent import get_hub
from gevent.monkey import get_original, is_module_patched


def under_gevent() -> bool:
    """Whether this process is a gevent worker, whose event loop must not be blocked."""
    return bool(is_module_patched("socket"))


def time_limit(error: Exception, *, seconds: float) -> AbstractContextManager[object]:
    """Context manager: raises the error when the time is over and the block waits for a socket.

    Not for code that uses a stateful connection, such as a database's: the error would leave it in the middle
    of a response. There is no limit without gevent.
    """
    return gevent.Timeout(seconds, error) if under_gevent() else nullcontext()


LOOK_EVERY_S = 0.02
"""Interval in seconds between two measurements of the loop's delay."""


def watch_loop(observe: Callable[[float], None]) -> None:
    """Call observe regularly with the delay of this process's event loop, in seconds."""

    def watch() -> None:
        while True:
            due = time.monotonic() + LOOK_EVERY_S
            gevent.sleep(LOOK_EVERY_S)
            observe(max(0.0, time.monotonic() - due))

    gevent.spawn(watch)


def sleep_until(moment: float) -> None:
    """moment: on the monotonic clock, in seconds.

    gevent's sleep ends whole milliseconds after the call, which would reveal the time of the call. A native
    thread's sleep ends at the given moment.
    """
    if is_module_patched("time"):
        get_hub().threadpool.apply(_sleep_until, (moment,))
    else:
        _sleep_until(moment)


def _sleep_until(moment: float) -> None:
    get_original("time", "sleep")(max(0.0, moment - time.monotonic()))
