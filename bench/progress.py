"""Progress messages on standard error, so that the results on standard output can be piped."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
