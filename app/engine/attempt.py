"""One read, whose failure does not reach the thread that it runs in."""

from __future__ import annotations

from typing import Protocol

from app.errors import OcrFailed, ServiceError
from app.model.reading import ReadOptions, ReadResult
from app.system.memory import give_back_free_pages


class Read(Protocol):
    def __call__(self, data: bytes, options: ReadOptions) -> ReadResult: ...

    def warm_up(self) -> None:
        """Do what would make the first reads slow."""


def attempt(read: Read, data: bytes, options: ReadOptions) -> ReadResult | Exception:
    """Returns an exception instead of raising it: gevent's thread pool would print its traceback."""
    try:
        return read(data, options)
    except Exception as error:
        return error
    finally:
        give_back_free_pages()


def result_of(outcome: ReadResult | Exception) -> ReadResult:
    """Raises ServiceError: the outcome's own, or OcrFailed for any other exception."""
    if isinstance(outcome, ReadResult):
        return outcome
    if isinstance(outcome, ServiceError):
        raise outcome
    raise OcrFailed(repr(outcome)) from outcome
