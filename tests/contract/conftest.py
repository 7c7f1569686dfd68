from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.state.sql import SqlStore
from tests.contract.state import State, fake_state, sql_state, sql_store
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[SqlStore]:
    """The SQL store on its own, for what the operator does and what the fakes leave out."""
    store = sql_store(tmp_path, clock)
    store.create()
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "fake"])
def state(request: pytest.FixtureRequest) -> State:
    return fake_state() if request.param == "fake" else sql_state(request.getfixturevalue("store"))
