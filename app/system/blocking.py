"""Where what waits for a disk is done: a flush may take as long as the disk likes, unseen by gevent."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[[Callable[[], None]], None]
"""Returns when what it was given is done, in another thread where the loop of this one must go on."""


def at_once(work: Callable[[], None]) -> None:
    """Where nobody else waits for this thread."""
    work()
