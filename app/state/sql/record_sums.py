"""Sums over usage records, computed by the database."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import ColumnElement, Connection, case, func, null, select

from app.model.usage import RECOGNISED
from app.state.sql.rollup import LONGEST_BITS, PRECISION_BITS, Counts
from app.state.sql.tables import EVERYBODY, usage_records

_code, _ms = usage_records.c.status_code, usage_records.c.total_ms
_WIDTHS = range(LONGEST_BITS - PRECISION_BITS + 1)
_BUCKET = case(*((_ms < 1 << width + PRECISION_BITS, _ms - _ms % (1 << width)) for width in _WIDTHS))
"""The same as rollup.bucket."""
_TIME = case((_code == RECOGNISED, _BUCKET), else_=null())


def started_by(*user_ids: int) -> ColumnElement[bool]:
    """The users' records, found by index even if days are given as well.

    For a single id MariaDB would read all records of the user, so there are always two ids: no user has
    EVERYBODY.
    """
    return usage_records.c.user_id.in_([EVERYBODY, *user_ids])


def sums_by(
    connection: Connection, key: ColumnElement[int], *within: ColumnElement[bool]
) -> dict[int, Counts]:
    """The sums of the ended records that fulfil the conditions, for each value of the key."""
    characters = func.coalesce(usage_records.c.character_count, 0)
    ended = (
        select(key.label("key"), _code.label("code"), _TIME.label("time"), characters.label("characters"))
        .where(*within, _code.is_not(None))
        .subquery()
    )
    group = ended.c.key, ended.c.code, ended.c.time
    query = select(*group, func.count(), func.sum(ended.c.characters)).group_by(*group)
    found: dict[int, Counts] = defaultdict(Counts)
    for value, code, bucket, requests, read in connection.execute(query):
        found[int(value)].enter(code, requests, int(read), bucket)
    return found
