"""`flask usage`: what was recognised for whom."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from flask.cli import AppGroup

from app.cli.output import moment, report_errors, services, table
from app.cli.report import draw, show, write_csv
from app.state.redis_front import dead_letters
from app.state.sql.retention import expired
from app.state.sql.retention import purge as delete_expired
from app.wiring.state import build_mover

DEFAULT_DAYS = 30
DAY = click.DateTime(["%Y-%m-%d"])
FILE = click.Path(dir_okay=False, writable=True, path_type=Path)

COLUMNS = {
    "REQUEST": "request_id",
    "USER": "username",
    "CODE": "status_code",
    "WIDTH": "picture_width",
    "HEIGHT": "picture_height",
    "LINES": "line_count",
    "CHARACTERS": "character_count",
    "MS": "total_ms",
}


usage_group = AppGroup("usage", help="What was recognised for whom.")


@usage_group.command("tail")
@click.option(
    "-n", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many records."
)
@report_errors
def tail(count: int) -> None:
    """Show the newest usage records, newest last."""
    rows = [
        (moment(record["started_at"]), *(_shown(record[column]) for column in COLUMNS.values()))
        for record in reversed(services().store.tail(count))
    ]
    table(("STARTED", *COLUMNS), rows)


@usage_group.command("flush")
@click.option("--once", is_flag=True, help="End when nothing is left to move.")
@report_errors
def flush(once: bool) -> None:
    """Move usage records from Redis to the database, until SIGTERM.

    Any number of these may run at once. Run one on each machine: it also empties that machine's spool.
    """
    mover = build_mover(services().settings, services().state)
    if mover is None:
        raise click.ClickException("OCR_STATE__REDIS_URL is not set: records are in the database already.")
    if once:
        click.echo(f"{mover.move_all()} records moved.")
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    mover.run(stop)


@usage_group.command("dead")
@click.option("--retry", is_flag=True, help="Put them back among those that are moved.")
@report_errors
def dead(retry: bool) -> None:
    """List the records that the database refused, with its reason."""
    redis = services().state.redis
    if redis is None:
        raise click.ClickException("OCR_STATE__REDIS_URL is not set: there are no dead letters.")
    letters = dead_letters.listed(redis.link)
    table(("LETTER", "ERROR", "RECORD"), [(one.letter_id, one.why, one.text) for one in letters])
    if retry:
        click.echo(f"{dead_letters.retry(redis.link, redis.state, letters)} put back.")


@usage_group.command("report")
@click.option("--user", help="One user's alone; by default everybody's.")
@click.option("--from", "first", type=DAY, help="First day, in UTC; by default 30 days with the last.")
@click.option("--to", "last", type=DAY, help="Last day, in UTC; by default today.")
@click.option("--csv", "as_csv", is_flag=True, help="One line a day, for other programs.")
@click.option("--plot", type=FILE, help="Draw it there, by the name's ending: .png, .svg or .pdf.")
@report_errors
def report(
    user: str | None, first: datetime | None, last: datetime | None, as_csv: bool, plot: Path | None
) -> None:
    """Say per day what was asked and read, and how long pictures took (p50, p95)."""
    store = services().store
    until = last.date() if last else datetime.fromtimestamp(services().clock.now(), UTC).date()
    since = first.date() if first else until - timedelta(days=DEFAULT_DAYS - 1)
    if since > until:
        raise click.UsageError("--from is after --to.")
    found = store.patient_report(user, since, until)
    if plot:
        draw(found, f"{user or 'all users'}, {since} to {until}", plot)
    (write_csv if as_csv else show)(found)


@usage_group.command("purge")
@click.option("--days", type=click.IntRange(1), help="Keep so many; by default OCR_USAGE__KEEP_DAYS.")
@report_errors
def purge(days: int | None) -> None:
    """Delete usage records that are older than they are to be kept, a few at a time."""
    kept = days or services().settings.usage.keep_days
    if not kept:
        raise click.UsageError("Records are kept for ever: set OCR_USAGE__KEEP_DAYS, or give --days.")
    before = int((services().clock.now() - kept * 86_400) * 1000)
    database = services().store.database
    total = expired(database, before)
    with click.progressbar(length=total, label=f"Deleting {total} records") as bar:
        for deleted in delete_expired(database, before):
            bar.update(deleted)
    click.echo(f"Records from {moment(before)} UTC on are kept.")


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
