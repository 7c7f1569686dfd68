"""Output of the command: safe on a terminal, and silent when the pipe is closed."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The text of pictures is untrusted. Control characters, including U+009B, control a terminal; bidirectional
# controls change the displayed order of a text.
UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff"
_ANY = re.compile(f"[{UNPRINTABLE}]")


def escaped(text: str) -> str:
    r"""Replace control characters except line breaks and tabs by Python escapes: `\x9b`, `\u202e`."""
    return _ANY.sub(lambda found: found[0] if found[0] in "\n\t" else ascii(found[0])[1:-1], text)


class _Terminal:
    """A text stream that escapes control characters."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._stream.write(escaped(text)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def output() -> Iterator[None]:
    """Protect standard output and error while a command runs.

    When the reader closes the pipe (`| head`), the command ends by SIGPIPE, as other programs do; Python
    ignores SIGPIPE, because it also concerns sockets. A stream that is closed from the start is replaced by
    /dev/null.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  open until the process ends
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
