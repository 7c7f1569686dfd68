"""How work that waits for a disk is run: gevent cannot switch during a slow flush."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[[Callable[[], None]], None]
"""Runs the work and returns when it is done; in another thread if this thread's event loop must go on."""


def at_once(work: Callable[[], None]) -> None:
    """Run the work in this thread, if it has no event loop."""
    work()
