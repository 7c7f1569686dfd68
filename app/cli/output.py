"""How commands speak: tables, moments, and failures in one line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click
from flask import current_app

from app.errors import DependencyUnavailable, ServiceError
from app.ocr.models import ModelError
from app.state.schema import SchemaMismatch
from app.state.secrets import KeyFileError
from app.state.users import DuplicateUser, UnknownUser
from app.wiring import Services


def services() -> Services:
    """What create_app has built."""
    built: Services = current_app.extensions["ocr"]
    return built


def told(command: Callable[..., None]) -> Callable[..., None]:
    """What may go wrong is told in one line, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
        except DuplicateUser as error:
            raise click.ClickException(f"There is a user {error} already.") from error
        except UnknownUser as error:
            raise click.ClickException(
                f"There is no user {error.args[0]}: see `flask users list`."
            ) from error
        except DependencyUnavailable as error:
            raise click.ClickException(error.detail) from error
        except ServiceError as error:
            raise click.ClickException(f"{error.error}: {error.detail}") from error
        except (KeyFileError, SchemaMismatch, ModelError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return wrapped


def moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
