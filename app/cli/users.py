"""`flask users`: the users of the service."""

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
PERIOD_HELP = "Period after which the quota renews, in UTC."


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
            self.fail(f"{value!r} is neither an integer nor {UNLIMITED!r}", param, ctx)
        return int(value)


users_group = AppGroup("users", help="Manage the users of the service.")


@users_group.command("add")
@name_argument
@click.option(
    "--quota", type=QuotaLimit(), default=UNLIMITED, show_default=True, help="Number of recognitions."
)
@click.option("--per", "period", type=PERIOD, default="none", show_default=True, help=PERIOD_HELP)
@click.option(
    "--allow-legacy-sign", is_flag=True, help="Accept the original service's md5 signature as well."
)
@click.option("--admin", is_flag=True, help="Let the user see the usage of all users.")
@click.option("--if-missing", is_flag=True, help="Do nothing if the user exists.")
@report_errors
def add(
    name: str, quota: int | None, period: Period, allow_legacy_sign: bool, admin: bool, if_missing: bool
) -> None:
    """Add a user and print the secret.

    The secret is not shown again.
    """
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
    """List the users and their quotas."""
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
@click.option("--user-table", default="user_table", show_default=True, help="Table of users.")
@click.option("--username", default="username", show_default=True, help="Its column of user names.")
@click.option("--password", default="password", show_default=True, help="Its column of passwords.")
@click.option(
    "--remaining", default="remaining_times", show_default=True, help="Its column of remaining recognitions."
)
@click.option(
    "--usage-table", metavar="NAME", help="A user's usage table; {username} is replaced by the name."
)
@click.option("--usage-id", default="id", show_default=True, help="Key column of the usage table.")
@click.option("--usage-time", default="time", show_default=True, help="Time column of the usage table.")
@report_errors
def import_original(url: str, **names: Any) -> None:
    """Import users from the original service.

    URL is its database, in the form of OCR_STATE__DATABASE_URL; the database is only read. Import before you
    switch clients to this service; a second import changes nothing.

    The original schema is undocumented. The defaults assume one table of users with a name, a plain-text
    password and the remaining recognitions (NULL: unlimited). With --usage-table, each user has a usage table
    with a key and a time (Unix seconds, or DATETIME in UTC).

    A password becomes the user's secret, and md5 signatures are accepted. The quota is the remaining
    recognitions plus the imported usage.
    """
    services().state.prepare()
    store = services().store
    try:
        patient = build_patient(url)
    except ValueError as error:
        raise click.BadParameter("must be a URL as in OCR_STATE__DATABASE_URL") from error
    rows = []
    with closing(patient) as source, _hint_at_options():
        for user in take_over(source, store.database, store.users, OriginalTables(**names)):
            uses = f"{user.uses} uses" + (f", {user.refused} of them rejected" if user.refused else "")
            click.echo(escaped(f"{user.username}: {user.outcome}, {uses}."))
            rows.append(user.outcome)
    click.echo(f"{rows.count('added')} of {len(rows)} users added.")


@users_group.command("enable")
@name_argument
@report_errors
def enable(name: str) -> None:
    """Accept requests of a disabled user again."""
    services().store.users.set_enabled(name, True)


@users_group.command("disable")
@name_argument
@report_errors
def disable(name: str) -> None:
    """Refuse all further requests of a user."""
    services().store.users.set_enabled(name, False)


@users_group.command("set-quota")
@name_argument
@click.argument("limit", type=QuotaLimit())
@click.option("--per", "period", type=PERIOD, help=f"{PERIOD_HELP} [default: unchanged]")
@report_errors
def set_quota(name: str, limit: int | None, period: Period | None) -> None:
    """Set a user's quota to LIMIT recognitions.

    LIMIT includes the recognitions already used, in total or in the current day or month.
    """
    user = services().store.users.set_quota(name, limit, period)
    click.echo(f"{name}: quota {_granted(user)}, {user.quota_used} used.")


@users_group.command("set-legacy-sign")
@name_argument
@click.argument("allowed", type=click.BOOL)
@report_errors
def set_legacy_sign(name: str, allowed: bool) -> None:
    """Allow md5 signatures of a user (on, off).

    This is the signature scheme of the original service.
    """
    services().store.users.set_legacy_sign(name, allowed)


@users_group.command("set-admin")
@click.argument("name")
@click.argument("admin", type=click.BOOL)
@report_errors
def set_admin(name: str, admin: bool) -> None:
    """Let a user see all users' usage (on, off)."""
    services().store.users.set_admin(name, admin)


@users_group.command("rotate-secret")
@name_argument
@report_errors
def rotate_secret(name: str) -> None:
    """Print a new secret for a user.

    The previous secret stays valid until the next rotation.
    """
    services().store.users.rotate_secret(name, partial(_show_secret, name))


@users_group.command("link")
@name_argument
@click.option("--base", metavar="URL", help="URL of the console. [default: http:// and OCR_BIND]")
@report_errors
def link(name: str, base: str | None) -> None:
    """Print a one-time sign-in link for a user.

    The link opens the console signed in as NAME and expires after OCR_AUTH__SIGN_IN_CODE_S seconds. It holds
    a code behind the #, which browsers do not send; the page exchanges the code for the user's secret.
    """
    bind = services().settings.bind
    if base is None and bind.startswith("unix:"):
        raise click.UsageError("The service listens on a Unix socket: give the console's URL with --base.")
    everywhere = re.compile(r"^(0\.0\.0\.0|\[::\])?:")  # wildcard addresses, which browsers cannot open
    base = base or "http://" + everywhere.sub("127.0.0.1:", bind)
    code = services().codes.issue(name)
    click.echo(f"{base.rstrip('/')}/#{urlencode({'user': name, 'code': code})}")


@contextmanager
def _hint_at_options() -> Iterator[None]:
    try:
        yield
    except DependencyUnavailable as error:
        raise click.ClickException(
            escaped(f"{error.detail} (set the names of tables and columns with options)")
        ) from error


def _granted(user: UserSummary) -> str:
    if user.quota_limit is None:
        return UNLIMITED
    return f"{user.quota_limit}" + ("" if user.quota_period == "none" else f"/{user.quota_period}")


def _show_secret(name: str, secret: str) -> None:
    click.echo(f"The secret of {name}, which is not shown again:\n\n  {secret}\n")
