"""gevent's event loop: whether there is one, how late it is, and what may interrupt a wait on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import gevent
from gevent import get_hub
from gevent.monkey import get_original, is_module_patched


def under_gevent() -> bool:
    """Whether this process is a gevent worker, whose loop a read would stall."""
    return bool(is_module_patched("socket"))


def time_limit(error: Exception, *, seconds: float) -> AbstractContextManager[object]:
    """Raises the error inside its block once the time is over, wherever the block waits for a socket.

    For nothing that leaves a connection in a state of its own, as one to a database. Without gevent no limit.
    """
    return gevent.Timeout(seconds, error) if under_gevent() else nullcontext()


LOOK_EVERY_S = 0.02
"""Interval between two looks at the loop's delay."""


def watch_loop(observe: Callable[[float], None]) -> None:
    """Tell observe, again and again, by how many seconds this process's loop is behind."""

    def watch() -> None:
        while True:
            due = time.monotonic() + LOOK_EVERY_S
            gevent.sleep(LOOK_EVERY_S)
            observe(max(0.0, time.monotonic() - due))

    gevent.spawn(watch)


def sleep_until(moment: float) -> None:
    """moment: on the monotonic clock, in seconds.

    gevent's own sleep ends whole milliseconds after its call, which shows when the call was made. A native
    thread ends its sleep at the moment itself.
    """
    if is_module_patched("time"):
        get_hub().threadpool.apply(_sleep_until, (moment,))
    else:
        _sleep_until(moment)


def _sleep_until(moment: float) -> None:
    get_original("time", "sleep")(max(0.0, moment - time.monotonic()))
