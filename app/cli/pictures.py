"""`flask sign`: a signed request for the service. `flask read`: read pictures without the service."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shlex
import urllib.error
import urllib.request
from pathlib import Path

import click
from flask.cli import with_appcontext

from app.authenticate import UNSIGNED_FIELDS, as_signed, sign
from app.cli.output import print_untrusted, report_errors, services
from app.model.claim import Value
from app.model.reading import ReadOptions
from app.state.sql.users import UnknownUser
from app.telemetry.escape import escaped, escaped_json, without_secrets


@click.command("sign")
@with_appcontext
@click.argument("picture")
@click.option("--user", required=True, help="Sign with this user's secret, from the database.")
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="Request field, e.g. boxes=false."
)
@click.option("--send", metavar="URL", help="Send the request to URL and print the text.")
@report_errors
def sign_command(picture: str, user: str, options: tuple[str, ...], send: str | None) -> None:
    """Print a signed request for PICTURE.

    PICTURE is a file or a URL. The request body goes to standard output, a curl command to standard error.
    """
    account = services().store.find(user)
    if account is None:
        raise UnknownUser(user)
    fields = _request_fields(picture, user, options, now=int(services().clock.now()))
    fields["sign"] = sign(account.secrets[0], {name: as_signed(value) for name, value in fields.items()})
    body = json.dumps(fields)
    if send:
        print_untrusted(_send(send, body.encode()))
        return
    click.echo(body)
    click.echo(_curl(picture, fields, body, f"http://{services().settings.bind}/ocr"), err=True)


@click.command("read")
@with_appcontext
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per file, with scores and boxes."
)
@report_errors
def read_command(files: tuple[Path, ...], as_json: bool) -> None:
    """Read picture FILES without the service."""
    reader = services().reader()
    for file in files:
        page = reader(file.read_bytes(), ReadOptions()).page
        if as_json:
            lines = [{"text": x.text, "score": round(x.score, 4), "box": x.box} for x in page.lines]
            click.echo(escaped_json(json.dumps({"file": str(file), "lines": lines}, ensure_ascii=False)))
            continue
        if len(files) > 1:
            click.secho(escaped(str(file)), bold=True)
        print_untrusted(page.text)


def _request_fields(picture: str, user: str, options: tuple[str, ...], *, now: int) -> dict[str, Value]:
    fields: dict[str, Value] = {"username": user, "timestamp": now, "nonce": secrets.token_urlsafe(12)}
    for option in options:
        name, _, value = option.partition("=")
        fields[name] = value == "true" if value in ("true", "false") else value
        if value.isdecimal() and name != "min_score":
            fields[name] = int(value)
    if "://" in picture:
        return fields | {"picture_url": picture}
    data = Path(picture).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return fields | {"picture_sha256": digest, "picture_base64": base64.b64encode(data).decode()}


def _curl(picture: str, fields: dict[str, Value], body: str, url: str) -> str:
    """A curl command: with the JSON body for a picture URL, with a form for a picture file."""
    if "picture_url" in fields:
        return shlex.join(["curl", "-sS", "-H", "Content-Type: application/json", "-d", body, url])
    sent = {name: value for name, value in fields.items() if name not in UNSIGNED_FIELDS} | {
        "sign": fields["sign"]
    }
    parts = [f"{name}={as_signed(value)}" for name, value in sent.items()]
    forms = [word for part in parts for word in ("--form-string", part)]
    # From standard input, because curl interprets ; and , in a file's name.
    return f"{shlex.join(['curl', '-sS', *forms, '-F', 'image=@-', url])} < {shlex.quote(picture)}"


def _send(url: str, body: bytes) -> str:
    """The text of the response. Raises ClickException with the body of an error response."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  the operator chose the URL
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return str(json.load(answer)["result"])
    except urllib.error.HTTPError as error:
        answered = error.read().decode(errors="replace")
        raise click.ClickException(escaped(answered, keep="\n\t")) from error
    except ValueError:  # not a URL, or the response is not JSON
        raise click.ClickException(f"{escaped(without_secrets(url))} is not a URL of this service") from None
