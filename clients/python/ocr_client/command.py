"""The command `ocr-client`: read pictures, and sign fields to test other clients."""

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
"""Unicode categories of invisible characters: spaces, controls, formats."""

EXIT_STATUS = """\b
Exit status:
  0  every picture was read
  1  some pictures were not read; see standard error
  2  wrong usage; nothing was sent
  3  stopped early: wrong user or secret, no quota, or service unreachable"""

Print = Callable[[Outcome], None]


def _pictures(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[Picture, ...]:
    """URLs and existing files. A wrong file name is an error before anything is sent."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return tuple(_url(text) if "://" in text else Path(file.convert(text, param, ctx)) for text in given)


def _url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise click.BadParameter(f"{text!r} is neither an http nor an https URL")
    return text


def _secret(ctx: click.Context, param: click.Parameter, file: TextIO | None) -> str:
    secret = file.read().rstrip("\r\n") if file else os.environ.get("OCR_SECRET", "")
    if not secret:
        raise click.BadParameter("the secret is missing: set OCR_SECRET, or use --secret-file", ctx, param)
    return secret


secret_option = click.option(
    "--secret-file",
    "secret",
    type=click.File(encoding="utf-8"),
    callback=_secret,
    help="File with the secret, or - for standard input. Without it, OCR_SECRET is the secret. "
    "There is no option for the secret itself, because the list of processes shows options.",
)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        with output():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="ocr-client")
def main() -> None:
    """Read the text of pictures with the OCR service."""


@main.command("read", epilog=EXIT_STATUS)
@click.argument("pictures", nargs=-1, required=True, callback=_pictures, metavar="FILE|URL...")
@click.option(
    "--url",
    envvar="OCR_URL",
    show_envvar=True,
    default="http://127.0.0.1:8081/ocr",
    help="Service URL.",
)
@click.option("--user", envvar="OCR_USER", show_envvar=True, required=True, help="User name.")
@secret_option
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    help="json: one object per picture, including failures. csv: one row per line of text; a text that looks "
    "like a formula gets an apostrophe in front, plain numbers such as -5.00 do not.",
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=CONCURRENCY, help="Pictures read at once.")
@click.option(
    "--charset",
    type=click.Choice(["full", "latin", "digits", "chinese+latin"]),
    help="Recognise only these characters.",
    show_default=False,
)
@click.option("--orient", is_flag=True, default=None, help="Detect pages on their side or upside down.")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Omit lines with a lower score.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=PATIENCE_S,
    help="Maximum seconds that a picture waits for a busy service.",
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
    """Print the text of pictures. They are files, or URLs that the service downloads."""
    show = STYLES[style](len(pictures) > 1)
    bar = len(pictures) > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
    done = failed = 0
    try:
        with Client(url, user, secret, patience_s=patience) as client:
            for outcome in client.read_many(pictures, concurrency=concurrency, progress=bar, **options):
                done += 1
                failed += outcome.error is not None
                if outcome.error is not None:
                    click.echo(escaped(f"ocr-client: {_name(outcome)}: {outcome.error}"), err=True)
                show(outcome)
    except OcrError as error:
        left = f" ({len(pictures) - done} of {len(pictures)} pictures were not read)" if done else ""
        click.echo(escaped(f"ocr-client: {error}{left}"), err=True)
        sys.exit(ENDED_EARLY)
    sys.exit(SOME_FAILED if failed else 0)


@main.command("sign")
@click.argument("fields", nargs=-1, required=True, metavar="NAME=VALUE...")
@secret_option
def sign_command(fields: tuple[str, ...], secret: str) -> None:
    """Print the string to sign and the signature of fields, to test your own client."""
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
        fields: dict[str, Any] = {"source": _name(outcome)}
        if outcome.result is not None:
            fields |= asdict(outcome.result)
        else:
            error = getattr(outcome.error, "error", type(outcome.error).__name__)
            fields |= {"error": error, "tips": str(outcome.error)}
        click.echo(json.dumps(fields, ensure_ascii=False))

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
    """Put an apostrophe before a text that a spreadsheet would take for a formula; numbers stay unchanged.

    Spreadsheets skip leading blanks, and some treat full-width signs like ASCII signs.
    """
    start = next((char for char in text if unicodedata.category(char) not in BLANK), "")
    formula = text[:1] in ("\t", "\r", "\n") or unicodedata.normalize("NFKC", start)[:1] in tuple(
        "=+-@\N{MINUS SIGN}"
    )
    return f"'{text}" if formula and not NUMBER.fullmatch(text) else text


STYLES: dict[str, Callable[[bool], Print]] = {"text": _text, "json": _json, "csv": _csv}
