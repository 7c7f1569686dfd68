"""`flask users`: who may call the service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, get_args
from urllib.parse import urlencode

import click
from flask.cli import AppGroup

from app.cli.output import moment, report_errors, services, table
from app.errors import DependencyUnavailable
from app.model.account import USERNAME, Period
from app.state.sql.original import OriginalTables, take_over
from app.state.sql.users import DuplicateUser, UserSummary
from app.telemetry.escape import escaped
from app.wiring.state import build_patient

UNLIMITED = "unlimited"
PERIOD = click.Choice(get_args(Period))
PERIOD_HELP = "When the quota begins anew, in UTC."


def _username(ctx: click.Context, param: click.Parameter, name: str) -> str:
    if not re.fullmatch(USERNAME, name):
        raise click.BadParameter(f"{name!r} does not match {USERNAME}")
    return name


name_argument = click.argument("name", callback=_username)


class QuotaLimit(click.ParamType["int | None"]):
    name = f"N|{UNLIMITED}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value in (None, UNLIMITED):
            return None
        if not re.fullmatch("[0-9]{1,18}", str(value)):
            self.fail(f"{value!r} is neither a whole number nor {UNLIMITED!r}", param, ctx)
        return int(value)


users_group = AppGroup("users", help="Who may call the service.")


@users_group.command("add")
@name_argument
@click.option(
    "--quota", type=QuotaLimit(), default=UNLIMITED, show_default=True, help="Recognitions granted."
)
@click.option(
    "--per", "period", type=PERIOD, default="none", show_default=True, help="How long it lasts (UTC)."
)
@click.option("--allow-legacy-sign", is_flag=True, help="Accept the original service's md5 signature, too.")
@click.option("--admin", is_flag=True, help="May see the usage of all users.")
@click.option("--if-missing", is_flag=True, help="Succeed without a word if there is such a user.")
@report_errors
def add(
    name: str, quota: int | None, period: Period, allow_legacy_sign: bool, admin: bool, if_missing: bool
) -> None:
    """Add a user and print its secret, once."""
    services().state.prepare()
    try:
        secret = services().store.users.add(
            name,
            quota_limit=quota,
            quota_period=period,
            allow_legacy_sign=allow_legacy_sign,
            admin=admin,
        )
    except DuplicateUser:
        if if_missing:
            return
        raise
    _show_secret(name, secret)


@users_group.command("list")
@report_errors
def list_() -> None:
    """List users with their quota."""
    rows = [
        (
            user.username,
            ("enabled" if user.enabled else "disabled") + (", admin" if user.admin else ""),
            _granted(user),
            str(user.quota_used),
            "-" if user.quota_limit is None else str(max(0, user.quota_limit - user.quota_used)),
            "hmac-sha256, md5" if user.allow_legacy_sign else "hmac-sha256",
            moment(user.created_at),
        )
        for user in services().store.users.list()
    ]
    table(("USER", "STATE", "QUOTA", "USED", "LEFT", "SIGNATURES", "SINCE"), rows)


@users_group.command("import-original")
@click.argument("url")
@click.option("--user-table", default="user_table", show_default=True, help="Its table of users.")
@click.option("--username", default="username", show_default=True, help="That table's column of names.")
@click.option("--password", default="password", show_default=True, help="That of passwords.")
@click.option("--remaining", default="remaining_times", show_default=True, help="That of remaining times.")
@click.option("--usage-table", metavar="NAME", help="A user's table of uses; {username} stands for the name.")
@click.option("--usage-id", default="id", show_default=True, help="That table's key.")
@click.option("--usage-time", default="time", show_default=True, help="When a use was.")
@report_errors
def import_original(url: str, **names: Any) -> None:
    """Take over users, and on demand their uses, from the database of the original service at URL.

    Once, before clients are switched over; to repeat it changes nothing. How the original names things is
    assumed, since nobody has written it down: one table of users with a name, a password in plain text and
    the times that remain (NULL: without limit), and a table of uses for each user with a key and a time
    (Unix seconds, or DATETIME in UTC). Options say otherwise.

    Passwords become secrets, and md5 signatures with them are accepted. A quota is what remains and what was
    used. URL is as in OCR_STATE__DATABASE_URL; nothing is changed there.
    """
    services().state.prepare()
    store = services().store
    try:
        patient = build_patient(url)
    except ValueError as error:
        raise click.BadParameter("must be a URL as in OCR_STATE__DATABASE_URL") from error
    rows = []
    with closing(patient) as source, _names_explained():
        for user in take_over(source, store.database, store.users, OriginalTables(**names)):
            uses = f"{user.uses} uses" + (f", {user.refused} of them refused" if user.refused else "")
            click.echo(escaped(f"{user.username}: {user.outcome}, {uses}."))
            rows.append(user.outcome)
    click.echo(f"{rows.count('added')} of {len(rows)} users added.")


@users_group.command("enable")
@name_argument
@report_errors
def enable(name: str) -> None:
    """Let a disabled user call again."""
    services().store.users.set_enabled(name, True)


@users_group.command("disable")
@name_argument
@report_errors
def disable(name: str) -> None:
    """Refuse a user's requests from now on."""
    services().store.users.set_enabled(name, False)


@users_group.command("set-quota")
@name_argument
@click.argument("limit", type=QuotaLimit())
@click.option("--per", "period", type=PERIOD, help=f"{PERIOD_HELP} By default as before.")
@report_errors
def set_quota(name: str, limit: int | None, period: Period | None) -> None:
    """Grant LIMIT recognitions, those already used among them: in all, or per day or month."""
    user = services().store.users.set_quota(name, limit, period)
    click.echo(f"{name}: {_granted(user)}, {user.quota_used} of them used.")


@users_group.command("set-legacy-sign")
@name_argument
@click.argument("allowed", type=click.BOOL)
@report_errors
def set_legacy_sign(name: str, allowed: bool) -> None:
    """Accept the original service's md5 signature from a user, or no longer (on, off)."""
    services().store.users.set_legacy_sign(name, allowed)


@users_group.command("set-admin")
@click.argument("name")
@click.argument("admin", type=click.BOOL)
@report_errors
def set_admin(name: str, admin: bool) -> None:
    """Let a user see the usage of all users, or no longer (on, off)."""
    services().store.users.set_admin(name, admin)


@users_group.command("rotate-secret")
@name_argument
@report_errors
def rotate_secret(name: str) -> None:
    """Print a new secret; the one before it keeps working until the next rotation."""
    services().store.users.rotate_secret(name, partial(_show_secret, name))


@users_group.command("link")
@name_argument
@click.option("--base", metavar="URL", help="Where the service's console is, if not at OCR_BIND.")
@report_errors
def link(name: str, base: str | None) -> None:
    """Print an address that opens the console signed in as NAME, once, within OCR_AUTH__SIGN_IN_CODE_S.

    Browsers do not send what is behind the #; the page exchanges the code there for the secret.
    """
    bind = services().settings.bind
    if base is None and bind.startswith("unix:"):
        raise click.UsageError("The service listens on a Unix socket: say where its console is with --base.")
    everywhere = re.compile(r"^(0\.0\.0\.0|\[::\])?:")  # listened on, but no address to open
    base = base or "http://" + everywhere.sub("127.0.0.1:", bind)
    code = services().codes.issue(name)
    click.echo(f"{base.rstrip('/')}/#{urlencode({'user': name, 'code': code})}")


@contextmanager
def _names_explained() -> Iterator[None]:
    try:
        yield
    except DependencyUnavailable as error:
        raise click.ClickException(
            escaped(f"{error.detail} (options say what tables and columns are called)")
        ) from error


def _granted(user: UserSummary) -> str:
    if user.quota_limit is None:
        return UNLIMITED
    return f"{user.quota_limit}" + ("" if user.quota_period == "none" else f"/{user.quota_period}")


def _show_secret(name: str, secret: str) -> None:
    click.echo(f"The secret of {name}, shown this once:\n\n  {secret}\n")
