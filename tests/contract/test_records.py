"""Rows that started and ended elsewhere: each is stored once, and the quota follows."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from app.errors import DependencyUnavailable
from app.model.reading import Elapsed, PictureInfo
from app.model.usage import RECOGNISED, UsageRecord
from app.state.sql.records import store as store_rows
from app.state.sql.store import SqlStore
from app.state.sql.usage_row import columns
from tests.contract.conftest import MakeStore
from tests.contract.state import id_of, used

Row = dict[str, Any]

PICTURE = PictureInfo(width=463, height=1013, format="JPEG", sha256="ab" * 32)


@pytest.fixture(autouse=True)
def alice(store: SqlStore) -> None:
    store.users.add("alice")


def running(name: str = "one", **changes: Any) -> Row:
    return {"request_id": id_of(name), "user_id": 1, "username": "alice", "started_at": 1000} | changes


def finished(name: str = "one", status_code: int = RECOGNISED, **changes: Any) -> Row:
    record = UsageRecord(
        id_of(name), "alice", status_code, Elapsed(total=871), PICTURE, 2, 23, "发票 😀\nNo. 7"
    )
    return running(name) | columns(record, keep_text="full") | {"finished_at": 1871} | changes


def stored(state: SqlStore, *rows: Row) -> Mapping[int, str]:
    """Those that were refused."""
    with state.database.write() as connection:
        return store_rows(connection, rows).refused


def states(state: SqlStore) -> list[tuple[int | None, bool]]:
    return sorted((row["status_code"], row["charged"]) for row in state.tail(1000))


@pytest.mark.parametrize("status_code", [RECOGNISED, 14])
@pytest.mark.parametrize("together", [True, False])
def test_whatever_comes_twice_or_in_the_wrong_order_is_stored_once(
    store: SqlStore, status_code: int, together: bool
) -> None:
    rows = [running(), finished(status_code=status_code)]
    for order in itertools.permutations([*rows, *rows]):
        for batch in [order] if together else [(row,) for row in order]:
            assert stored(store, *batch) == {}

    assert states(store) == [(status_code, status_code == RECOGNISED)]
    assert used(store) == (status_code == RECOGNISED)


def test_a_running_row_is_charged(store: SqlStore) -> None:
    stored(store, running())
    stored(store, running())

    assert states(store) == [(None, True)]
    assert used(store) == 1


def test_the_first_end_counts(store: SqlStore) -> None:
    stored(store, finished(status_code=14), finished())
    stored(store, finished())

    assert states(store) == [(14, False)]
    assert used(store) == 0


def test_a_row_is_what_the_service_would_have_written(store: SqlStore) -> None:
    row = finished()
    assert stored(store, {name: str(value) for name, value in row.items()}) == {}  # as a stream has it

    assert store.tail(10) == [row | {"charged": True}]
    assert row["text"] == "发票 😀\nNo. 7"
    assert row["text_sha256"] == hashlib.sha256(row["text"].encode()).hexdigest()


def test_a_long_text_is_stored_whole(store: SqlStore) -> None:
    text = "发票😀" * 10_000  # 100,000 bytes
    assert stored(store, finished(text=text)) == {}
    assert store.tail(1)[0]["text"] == text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"request_id": "id of one"}, "request_id"),
        ({"user_id": "alice"}, "user_id"),
        ({"started_at": None}, "started_at"),
        ({"status_code": None}, "has a status_code"),
        ({"status_code": 2**31}, "status_code"),
        ({"picture_format": "x" * 17}, "picture_format"),
        ({"picture_width": -1}, "picture_width"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_a_row_that_cannot_be_stored_is_named_and_holds_up_no_other(
    store: SqlStore, changes: Row, said: str
) -> None:
    rows = [finished("one"), finished("two", **changes), finished("three")]

    refused = stored(store, *rows)

    assert refused.keys() == {1}
    assert said in refused[1]
    assert used(store) == 2


@pytest.fixture
def picky(store: SqlStore, backend: str) -> Iterator[None]:
    """The database takes no picture_format of more than three letters."""
    if backend == "sqlite":
        before = (
            "CREATE TRIGGER picky BEFORE INSERT ON usage_records WHEN length(NEW.picture_format) > 3 "
            "BEGIN SELECT RAISE(ABORT, 'picky'); END"
        )
        after = "DROP TRIGGER picky"
    else:
        format_of = "ALTER TABLE usage_records MODIFY picture_format VARCHAR({}) CHARACTER SET ascii"
        before, after = format_of.format(3), format_of.format("16") + " COLLATE ascii_bin"
    with store.database.write() as connection:
        connection.exec_driver_sql(before)
    yield
    with store.database.write() as connection:
        connection.exec_driver_sql(after)


@pytest.mark.usefixtures("picky")
def test_a_row_that_the_database_alone_refuses(store: SqlStore) -> None:
    refused = stored(
        store, finished("one", picture_format="PNG"), finished("two", picture_format="JPEG"), running("three")
    )

    assert refused.keys() == {1}
    assert used(store) == 2


def test_a_transaction_that_fails_leaves_neither_rows_nor_charges(store: SqlStore) -> None:
    with pytest.raises(KeyError), store.database.write() as connection:
        store_rows(connection, [finished()])
        raise KeyError

    assert used(store) == len(store.tail(10)) == 0


def test_a_database_that_is_down_is_no_fault_of_the_row(make_store: MakeStore) -> None:
    without_tables = make_store(database_url="sqlite:////dev/null/ocr.sqlite")
    with pytest.raises(DependencyUnavailable):
        stored(without_tables, running())


def test_records_of_users_who_are_gone_are_stored(store: SqlStore) -> None:
    assert stored(store, finished(user_id=99, username="bob"), finished("two")) == {}

    assert len(store.tail(10)) == 2
    assert used(store) == 1


def test_several_may_store_the_same_rows_at_once(store: SqlStore, make_store: MakeStore) -> None:
    for name in ("bob", "carol"):
        store.users.add(name)
    names = ["alice", "bob", "carol"]
    owners = [{"user_id": n % 3 + 1, "username": names[n % 3]} for n in range(60)]
    rows = [running(f"id {n}", **owner) for n, owner in enumerate(owners)]
    rows += [finished(f"id {n}", RECOGNISED if n % 2 else 5, **owner) for n, owner in enumerate(owners)]
    refused: list[Mapping[int, str]] = []

    def move(step: int) -> None:
        mover = make_store()
        for at in range(0, len(rows), 20):
            batch = (rows[at:] + rows[:at])[::step][:40]
            refused.append(stored(mover, *batch))
        refused.append(stored(mover, *rows))

    movers = [threading.Thread(target=move, args=[step]) for step in (1, -1, 3, -7)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()

    assert refused == [{}] * 4 * 7
    assert len(store.tail(1000)) == 60
    assert [used(store, name) for name in names] == [10, 10, 10]
