"""Output of the commands: tables, times, and errors in one line."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import current_app

from app.errors import DependencyUnavailable, ServiceError
from app.ocr.models import ModelError
from app.state.sql.schema import SchemaMismatch
from app.state.sql.secrets import KeyFileError
from app.state.sql.users import DuplicateUser, UnknownUser
from app.telemetry.escape import escaped
from app.wiring.services import Services


def services() -> Services:
    """The services of the current application, built by create_app."""
    built: Services = current_app.extensions["ocr"]
    return built


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: print errors in one line without a traceback, and end silently when the pipe is closed."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> None:
        with _closed_pipe_ends_command(), _errors_in_one_line():
            command(*args, **kwargs)

    return wrapped


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except DuplicateUser as error:
        raise _failure(f"User {error} already exists.") from error
    except UnknownUser as error:
        raise _failure(f"User {error.args[0]} does not exist: see `flask users list`.") from error
    except DependencyUnavailable as error:
        raise _failure(error.detail) from error
    except ServiceError as error:
        raise _failure(f"{error.error}: {error.detail}") from error
    except (KeyFileError, SchemaMismatch, ModelError, OSError) as error:
        raise _failure(str(error)) from error


def _failure(text: str) -> click.ClickException:
    return click.ClickException(escaped(text, keep="\n"))


@contextmanager
def _closed_pipe_ends_command() -> Iterator[None]:
    """End by SIGPIPE, as other programs do, when the reader closes the pipe (`| head`).

    Python ignores SIGPIPE, because it also concerns sockets. A stream that is closed from the start is
    replaced by /dev/null.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  open until the process ends
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)


def print_untrusted(text: str) -> None:
    """Print text from untrusted sources. On a terminal, control characters except line breaks and tabs are
    escaped; other programs get the text unchanged.
    """
    click.echo(escaped(text, keep="\n\t") if sys.stdout.isatty() else text)


def moment(milliseconds: int) -> str:
    """Unix milliseconds as a date and time in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    lines = [tuple(map(escaped, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
