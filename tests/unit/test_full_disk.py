"""The files of the service on a disk without room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.engine.quarantine import PictureQuarantine
from app.errors import RateLimited
from app.limits.failures import FailureLimit
from app.state.redis_front.pending import PendingUsage
from app.state.redis_front.spool import Spool, SpoolUnavailable
from app.state.sql.quota_period import QuotaPeriod
from app.system.disk import Disks, free_bytes, lacks_room
from tests.disks import SmallDisk, small_disk
from tests.fakes import FakeClock


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "4m") as disk:
        yield disk


def test_free_bytes_are_those_of_the_disk_that_the_folder_will_be_on(disk: SmallDisk) -> None:
    disks = Disks((disk.folder / "not" / "yet",), min_free_bytes=1_000_000)
    assert 3_000_000 < free_bytes(disk.folder / "not" / "yet") <= 4 * 1024 * 1024
    assert disks.full() == {}
    disk.fill()
    assert disks.full() == {disk.folder / "not" / "yet": 0}


def test_wrong_signatures_are_limited_without_their_file(disk: SmallDisk) -> None:
    disk.fill()
    failures = FailureLimit(disk.folder / "failures", per_minute=2, address_per_minute=100, clock=FakeClock())
    failures.start()
    for _ in range(2):
        failures.check("192.0.2.1", "alice")
        failures.count("192.0.2.1", "alice")
    with pytest.raises(RateLimited):
        failures.check("192.0.2.1", "alice")
    failures.check("192.0.2.200", "alice")


def test_a_record_that_does_not_fit_leaves_nothing_in_the_spool(disk: SmallDisk) -> None:
    spool = Spool(disk.folder / "spool")
    row = {"request_id": "a" * 32, "user_id": 1, "username": "alice", "started_at": 1, "status_code": 6}
    ended = PendingUsage(QuotaPeriod(1), row | {"text": "x" * 10_000})
    disk.fill()
    for _ in range(3):
        with pytest.raises(SpoolUnavailable) as refused:
            spool.add(ended)
    assert refused.value.status_code == 18
    assert list((disk.folder / "spool").iterdir()) == []
    disk.empty()
    spool.add(ended)
    assert [waiting for _, waiting in spool.waiting()] == [ended]


def test_pictures_are_read_without_a_note_where_it_does_not_fit(disk: SmallDisk) -> None:
    quarantine = PictureQuarantine(disk.folder / "crashes")
    disk.fill()
    with pytest.raises(OSError) as refused:
        quarantine.start()
    assert lacks_room(refused.value)
    assert list((disk.folder / "crashes").iterdir()) == []
    with quarantine.reading("a" * 64):  # without a note
        assert list((disk.folder / "crashes").iterdir()) == []
