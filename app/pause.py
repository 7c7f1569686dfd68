"""Sleep until an exact moment, under gevent too."""

from __future__ import annotations

import time

from gevent import get_hub
from gevent.monkey import get_original, is_module_patched


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
