"""`flask usage`: what was recognised for whom."""

from __future__ import annotations

import signal
import threading

import click
from flask.cli import AppGroup

from app.cli.output import moment, services, table, told
from app.state import dead_letters
from app.wiring_state import build_mover

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
@told
def tail(count: int) -> None:
    """Show the newest usage records, newest last."""
    rows = [
        (moment(record["started_at"]), *(_shown(record[column]) for column in COLUMNS.values()))
        for record in reversed(services().store.tail(count))
    ]
    table(("STARTED", *COLUMNS), rows)


@usage_group.command("flush")
@click.option("--once", is_flag=True, help="End when nothing is left to move.")
@told
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
@told
def dead(retry: bool) -> None:
    """List the records that the database refused, with its reason."""
    redis = services().state.redis
    if redis is None:
        raise click.ClickException("OCR_STATE__REDIS_URL is not set: there are no dead letters.")
    letters = dead_letters.listed(redis.link)
    table(("LETTER", "ERROR", "RECORD"), [(one.letter_id, one.why, one.text) for one in letters])
    if retry:
        click.echo(f"{dead_letters.retry(redis.link, redis.state, letters)} put back.")


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
