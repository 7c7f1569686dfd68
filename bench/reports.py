"""Duration of reports over a million usage records: `.venv/bin/python -m bench.reports [--database URL]`.

One user has all of them, spread over 92 days; 999 others have one record each on every day. A MySQL database
must be empty, and keeps the records. Without --database, the records go to a temporary SQLite file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from app.state.sql.database import Database
from app.state.sql.store import SqlStore
from app.system.clock import SystemClock
from app.wiring.state import build_patient
from bench.progress import say

RECORDS = 1_000_000
DAYS = 92
OTHERS = 999
ROUNDS = 9
DAY_MS = 86_400_000

DIGITS = "(SELECT 0 AS d " + " ".join(f"UNION ALL SELECT {n}" for n in range(1, 10)) + ")"
REQUEST_ID = {"sqlite": "printf('%032x', i)", "mysql": "unhex(lpad(hex(i), 32, '0'))"}
RECORD = (
    "(request_id, user_id, username, started_at, finished_at, status_code, charged, character_count,"
    " total_ms)"
    " SELECT {request_id}, user_id, 'bench', began, began + 500, CASE WHEN i % 10 = 0 THEN 14 ELSE 6 END,"
    " i % 10 <> 0, 10, 200 + i % 700 FROM ({rows}) AS made"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reports", description=__doc__)
    parser.add_argument("--database", metavar="URL", help="as OCR_STATE__DATABASE_URL (a SQLite file)")
    parser.add_argument("--records", type=int, default=RECORDS, metavar="N", help=f"({RECORDS})")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.database or f"sqlite:///{folder}/ocr.sqlite"
        with closing(build_patient(url)) as database:
            measure(database, Path(folder), chosen.records)


def measure(database: Database, folder: Path, records: int) -> None:
    """Print the duration of each report: the median of its rounds, and the slowest."""
    store = SqlStore(
        database,
        key_file=folder / "secret.key",
        clock=SystemClock(),
        rate_per_minute=1,
        rate_burst=1,
        user_share=1,
        abandoned_after_s=60,
    )
    store.upgrade()
    if store.users.list():
        raise SystemExit(f"{database.shown} is not empty")
    for number in range(1, OTHERS + 2):
        store.users.add(f"user-{number}")
    took = seconds(lambda: fill(database, records))
    say(f"{records:,} records and {OTHERS * DAYS:,} of others, made in {took:.0f} s")
    say(f"sums of the finished days, built in {seconds(store.upgrade):.0f} s")

    today = datetime.now(UTC).date()
    first, reports = today - timedelta(days=DAYS - 1), store.reports
    cases: dict[str, Callable[[], object]] = {
        f"a user with {records:,} records": lambda: reports.report(1, first, today),
        "everybody, as one": lambda: reports.report(None, first, today),
        f"each of {OTHERS + 1:,} users": lambda: reports.usage_of_all(first, today),
    }
    print(f"Reports of {DAYS} days, {database.shown.partition(':')[0]}:")
    for name, case in cases.items():
        found = [1000 * seconds(case) for _ in range(ROUNDS)]
        print(f"  {name}: {statistics.median(found):.0f} ms (at most {max(found):.0f})")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fill(database: Database, records: int) -> None:
    """Insert records up to now, with statements that SQLite, MySQL and MariaDB understand."""
    begin_ms, step_ms = int(time.time() * 1000) - DAYS * DAY_MS, DAYS * DAY_MS // records
    one = f"SELECT i, 1 AS user_id, {begin_ms} + i * {step_ms} AS began FROM ({numbers(records)}) AS n"
    others = (
        f"SELECT {records} + day.i * 1000 + other.i AS i, 2 + other.i AS user_id, "
        f"{begin_ms} + day.i * {DAY_MS} AS began FROM ({numbers(DAYS)}) AS day, ({numbers(OTHERS)}) AS other"
    )
    for rows in (one, others):
        add_records(database, rows)


def add_records(database: Database, rows: str) -> None:
    """rows: a query of numbers i, user_id and began (ms since 1970); request ids are made of i."""
    with database.write() as connection:
        made = RECORD.format(request_id=REQUEST_ID[connection.dialect.name], rows=rows)
        connection.execute(text(f"INSERT INTO usage_records {made}"))


def numbers(below: int) -> str:
    """A query of the integers i from 0 to below - 1."""
    places = range(len(str(below - 1)))
    i = " + ".join(f"{10**place} * place{place}.d" for place in places)
    tables = ", ".join(f"{DIGITS} AS place{place}" for place in places)
    return f"SELECT i FROM (SELECT {i} AS i FROM {tables}) AS every WHERE i < {below}"


if __name__ == "__main__":
    main()
