"""How commands speak: tables, moments, and failures in one line."""

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
    """What create_app has built."""
    built: Services = current_app.extensions["ocr"]
    return built


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Failures are reported in one line, without a traceback. A reader that has left ends the command."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> None:
        with _reader_may_leave(), _failures_in_a_line():
            command(*args, **kwargs)

    return wrapped


@contextmanager
def _failures_in_a_line() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except DuplicateUser as error:
        raise _failure(f"There is a user {error} already.") from error
    except UnknownUser as error:
        raise _failure(f"There is no user {error.args[0]}: see `flask users list`.") from error
    except DependencyUnavailable as error:
        raise _failure(error.detail) from error
    except ServiceError as error:
        raise _failure(f"{error.error}: {error.detail}") from error
    except (KeyFileError, SchemaMismatch, ModelError, OSError) as error:
        raise _failure(str(error)) from error


def _failure(text: str) -> click.ClickException:
    return click.ClickException(escaped(text, keep="\n"))


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Once nobody reads its output, as in `| head`, a command ends by SIGPIPE, as other programs do.

    Python ignores that signal, for the sake of sockets. A stream that was closed from the start is as good as
    /dev/null.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  as long as the process
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)


def say(text: str) -> None:
    """Print what strangers have a part in. On a terminal, control characters other than line breaks and tabs
    are escaped; other programs get the text as it is."""
    click.echo(escaped(text, keep="\n\t") if sys.stdout.isatty() else text)


def moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    lines = [tuple(map(escaped, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
