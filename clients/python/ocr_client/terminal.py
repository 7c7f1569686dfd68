"""Output of the command: safe on a terminal, and quiet once its reader has left."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Strangers choose the text of pictures. A terminal obeys control characters, of which U+009B is one;
# bidirectional controls show a text in another order than it has.
UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff"
_ANY = re.compile(f"[{UNPRINTABLE}]")


def escaped(text: str) -> str:
    r"""Control characters other than line breaks and tabs as Python writes them: `\x9b`, `\u202e`."""
    return _ANY.sub(lambda found: found[0] if found[0] in "\n\t" else ascii(found[0])[1:-1], text)


class _Terminal:
    """A text stream that escapes what is written to it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._stream.write(escaped(text)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def output() -> Iterator[None]:
    """Standard output and error while a command runs.

    Once nobody reads them, as in `| head`, the command ends by SIGPIPE, as other programs do; Python ignores
    that signal, for the sake of sockets. A stream that was closed from the start is as good as /dev/null.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  as long as the process
    if sys.stdout.isatty():
        sys.stdout = _Terminal(sys.stdout)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        if hasattr(signal, "SIGPIPE"):  # not on Windows
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
        os._exit(1)
