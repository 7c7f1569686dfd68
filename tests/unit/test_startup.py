"""The steps of a worker's start that can fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.engine.quarantine import PictureQuarantine
from app.errors import DependencyUnavailable
from app.limits.failures import FailureLimit
from app.system.disk import Disks
from app.wiring.startup import STORE_TRIES, await_store, open_failures, watch_for_crashes
from tests.fakes import FakeClock


@dataclass
class LockedState:
    """Stands for StateParts; another process locks the database for the first `locked` tries."""

    locked: int
    redis: object = None
    swept: int = 0
    slept: list[float] = field(default_factory=list)

    @property
    def store(self) -> LockedState:
        return self

    def prepare(self) -> None:
        if self.locked:
            self.locked -= 1
            raise DependencyUnavailable("locked")

    def sweep(self) -> None:
        self.swept += 1

    def start(self, min_free_bytes: int = 0) -> None:
        await_store(self, Disks((Path("/"),), min_free_bytes), self.slept.append)  # type: ignore[arg-type]


def test_a_start_waits_for_the_database() -> None:
    state = LockedState(locked=STORE_TRIES - 1)
    state.start()
    assert (state.swept, state.slept) == (1, [1] * (STORE_TRIES - 1))


def test_a_start_gives_up_after_its_tries() -> None:
    state = LockedState(locked=STORE_TRIES)
    with pytest.raises(DependencyUnavailable):
        state.start()
    assert len(state.slept) == STORE_TRIES - 1


def test_a_start_does_not_wait_for_a_full_disk() -> None:
    state = LockedState(locked=1)
    with pytest.raises(DependencyUnavailable):
        state.start(min_free_bytes=1 << 62)
    assert not state.slept


def test_a_worker_with_redis_starts_without_the_database() -> None:
    state = LockedState(locked=1, redis="a Redis")
    state.start()
    assert not state.slept


def test_the_error_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failures = FailureLimit(
        tmp_path / "file" / "failures", per_minute=1, address_per_minute=1, clock=FakeClock()
    )
    with pytest.raises(RuntimeError, match="OCR_AUTH__FAILURES_FILE"):
        open_failures(failures)
    with pytest.raises(RuntimeError, match="OCR_ENGINE__CRASH_DIR"):
        watch_for_crashes(PictureQuarantine(tmp_path / "file" / "crashes"))
