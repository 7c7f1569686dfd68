"""`ocr-client`: read pictures from a shell; sign fields by hand."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click

from ocr_client import signing
from ocr_client.batch import Outcome
from ocr_client.client import CONCURRENCY, PATIENCE_S, Client
from ocr_client.errors import OcrError
from ocr_client.request import Picture
from ocr_client.terminal import escaped, output

SOME_FAILED, ENDED_EARLY = 1, 3
CSV_HEAD = ("source", "line", "text", "score", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")

NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*%?")
BLANK = ("Zs", "Zl", "Zp", "Cc", "Cf")
"""Categories of Unicode whose characters leave no mark: spaces, controls, formats."""

EXIT_STATUS = """\b
Exit status:
  0  every picture was read
  1  some were not; standard error says which, and why
  2  wrong usage; nothing was sent
  3  ended early: wrong user or secret, no quota left, no service"""

Print = Callable[[Outcome], None]


def _pictures(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[Picture, ...]:
    """URLs and files that exist: a mistyped name is told before anything is sent."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return tuple(_url(text) if "://" in text else Path(file.convert(text, param, ctx)) for text in given)


def _url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise click.BadParameter(f"{text!r} is neither an http nor an https URL")
    return text


def _secret(ctx: click.Context, param: click.Parameter, file: TextIO | None) -> str:
    secret = file.read().rstrip("\r\n") if file else os.environ.get("OCR_SECRET", "")
    if not secret:
        raise click.BadParameter("there is no secret: set OCR_SECRET, or name a file", ctx, param)
    return secret


secret_option = click.option(
    "--secret-file",
    "secret",
    type=click.File(encoding="utf-8"),
    callback=_secret,
    help="File that holds the secret, - for standard input; else OCR_SECRET does. "
    "There is no option for the secret itself: others could see it in the list of processes.",
)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        with output():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="ocr-client")
def main() -> None:
    """Read the text of pictures with a signed OCR service."""


@main.command("read", epilog=EXIT_STATUS)
@click.argument("pictures", nargs=-1, required=True, callback=_pictures, metavar="FILE|URL...")
@click.option(
    "--url", envvar="OCR_URL", show_envvar=True, default="http://127.0.0.1:8081/ocr", help="Of the service."
)
@click.option("--user", envvar="OCR_USER", show_envvar=True, required=True, help="Who signs.")
@secret_option
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    help="json: one object a picture, failures too. csv: one row a line of text; an apostrophe before a text "
    "keeps spreadsheets from taking it for a formula, but plain numbers such as -5.00 stay as they are.",
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=CONCURRENCY, help="Pictures read at once.")
@click.option(
    "--charset",
    type=click.Choice(["full", "latin", "digits", "chinese+latin"]),
    help="No other characters are looked for.",
    show_default=False,
)
@click.option("--orient", is_flag=True, default=None, help="Pages may lie on their side or upside down.")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Leave out lines that score lower.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=PATIENCE_S,
    help="Seconds that a picture may wait for a busy service.",
)
def read_command(
    pictures: tuple[Picture, ...],
    url: str,
    user: str,
    secret: str,
    style: str,
    concurrency: int,
    patience: float,
    **options: Any,
) -> None:
    """Print the text of each picture: files, or URLs that the service fetches."""
    show = STYLES[style](len(pictures) > 1)
    bar = len(pictures) > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
    told = failed = 0
    try:
        with Client(url, user, secret, patience_s=patience) as client:
            for outcome in client.read_many(pictures, concurrency=concurrency, progress=bar, **options):
                told += 1
                failed += outcome.error is not None
                if outcome.error is not None:
                    click.echo(escaped(f"ocr-client: {_name(outcome)}: {outcome.error}"), err=True)
                show(outcome)
    except OcrError as error:
        left = f" ({len(pictures) - told} of {len(pictures)} pictures were not read)" if told else ""
        click.echo(escaped(f"ocr-client: {error}{left}"), err=True)
        sys.exit(ENDED_EARLY)
    sys.exit(SOME_FAILED if failed else 0)


@main.command("sign")
@click.argument("fields", nargs=-1, required=True, metavar="NAME=VALUE...")
@secret_option
def sign_command(fields: tuple[str, ...], secret: str) -> None:
    """Print the string to sign for these fields, and its sign: to compare with a client of your own."""
    given: dict[str, signing.Value] = {name: value for name, _, value in (f.partition("=") for f in fields)}
    click.echo(signing.string_to_sign(given))
    click.echo(signing.sign(secret, given))


def _name(outcome: Outcome) -> str:
    return str(outcome.picture)


def _text(many: bool) -> Print:
    def show(outcome: Outcome) -> None:
        if outcome.result is not None:
            title = f"==> {_name(outcome)} <==\n" if many else ""
            click.echo(title + outcome.result.text)

    return show


def _json(many: bool) -> Print:
    def show(outcome: Outcome) -> None:
        told: dict[str, Any] = {"source": _name(outcome)}
        if outcome.result is not None:
            told |= asdict(outcome.result)
        else:
            error = getattr(outcome.error, "error", type(outcome.error).__name__)
            told |= {"error": error, "tips": str(outcome.error)}
        click.echo(json.dumps(told, ensure_ascii=False))

    return show


def _csv(many: bool) -> Print:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(CSV_HEAD)

    def show(outcome: Outcome) -> None:
        for number, line in enumerate(outcome.result.lines if outcome.result else (), start=1):
            corners = [coordinate for point in line.box or () for coordinate in point]
            rows.writerow([_cell(_name(outcome)), number, _cell(line.text), line.score, *corners])
        sys.stdout.flush()

    return show


def _cell(text: str) -> str:
    """A text that no spreadsheet calculates: an apostrophe marks it as a text where it begins like a formula.

    Spreadsheets skip blanks, and some take full-width signs for plain ones. A number is what it was anyway.
    """
    start = next((char for char in text if unicodedata.category(char) not in BLANK), "")
    formula = text[:1] in ("\t", "\r", "\n") or unicodedata.normalize("NFKC", start)[:1] in tuple(
        "=+-@\N{MINUS SIGN}"
    )
    return f"'{text}" if formula and not NUMBER.fullmatch(text) else text


STYLES: dict[str, Callable[[bool], Print]] = {"text": _text, "json": _json, "csv": _csv}
