"""`flask usage`: usage records and reports."""

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


usage_group = AppGroup("usage", help="Show, move and purge usage records.")


@usage_group.command("tail")
@click.option(
    "-n", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Number of records."
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
@click.option("--once", is_flag=True, help="Exit when no record is left to move.")
@report_errors
def flush(once: bool) -> None:
    """Move records from Redis to the database.

    Runs until SIGTERM. Run one on each machine, because it also empties that machine's spool. Several may run
    at once.
    """
    mover = build_mover(services().settings, services().state)
    if mover is None:
        raise click.ClickException("OCR_STATE__REDIS_URL is not set: all records are in the database.")
    if once:
        click.echo(f"{mover.move_all()} records moved.")
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    mover.run(stop)


@usage_group.command("dead")
@click.option("--retry", is_flag=True, help="Queue the listed records again.")
@report_errors
def dead(retry: bool) -> None:
    """List records that the database rejected.

    Prints the database's error for each record.
    """
    redis = services().state.redis
    if redis is None:
        raise click.ClickException("OCR_STATE__REDIS_URL is not set: there are no dead letters.")
    letters = dead_letters.listed(redis.link)
    table(("LETTER", "ERROR", "RECORD"), [(one.letter_id, one.why, one.text) for one in letters])
    if retry:
        click.echo(f"{dead_letters.retry(redis.link, redis.state, letters)} records queued again.")


@usage_group.command("report")
@click.option("--user", help="Report this user only. [default: all users]")
@click.option("--from", "first", type=DAY, help="First day, in UTC. [default: 30 days up to --to]")
@click.option("--to", "last", type=DAY, help="Last day, in UTC. [default: today]")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per day.")
@click.option("--plot", type=FILE, help="Draw a chart to a .png, .svg or .pdf file.")
@report_errors
def report(
    user: str | None, first: datetime | None, last: datetime | None, as_csv: bool, plot: Path | None
) -> None:
    """Print usage figures per day.

    The figures are requests, pictures, characters and processing times (p50, p95).
    """
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
@click.option("--days", type=click.IntRange(1), help="Days to keep. [default: OCR_USAGE__KEEP_DAYS]")
@report_errors
def purge(days: int | None) -> None:
    """Delete records past their retention period.

    Deletes in batches, so that requests are not blocked.
    """
    kept = days or services().settings.usage.keep_days
    if not kept:
        raise click.UsageError("There is no retention period: set OCR_USAGE__KEEP_DAYS, or use --days.")
    before = int((services().clock.now() - kept * 86_400) * 1000)
    database = services().store.database
    total = expired(database, before)
    with click.progressbar(length=total, label=f"Deleting {total} records") as bar:
        for deleted in delete_expired(database, before):
            bar.update(deleted)
    click.echo(f"Kept the records since {moment(before)} UTC.")


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
