"""`flask usage`: what was recognised for whom."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app.cli.output import moment, services, table, told

COLUMNS = ("request_id", "username", "status_code", "width", "height", "lines", "characters", "total_ms")


usage_group = AppGroup("usage", help="What was recognised for whom.")


@usage_group.command("tail")
@click.option("-n", "count", default=20, show_default=True, help="How many records.")
@told
def tail(count: int) -> None:
    """Show the newest usage records, newest last."""
    records = reversed(services().store.tail(count))
    rows = [
        (moment(r["started_at"]), *("-" if r[c] is None else str(r[c]) for c in COLUMNS)) for r in records
    ]
    table(("STARTED", *(name.upper() for name in COLUMNS)), rows)
