"""`flask usage`: what was recognised for whom."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app.cli.output import moment, services, table, told

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


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
