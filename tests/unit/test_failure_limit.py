"""Wrong signatures by address and name: limited, over all workers, in a table that does not grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import RateLimited
from app.limits.failures import FailureLimit
from app.wiring.services import build_services
from config.settings import ROOT, Settings
from tests.fakes import FakeClock

SALT = 16
SIZE = SALT + 8 * (1 << 18)


def limit(folder: Path, clock: FakeClock, per_minute: int = 6) -> FailureLimit:
    return FailureLimit(
        folder / "var" / "failures", per_minute=per_minute, address_per_minute=10 * per_minute, clock=clock
    )


def fail(failures: FailureLimit, address: str, times: int, name: str = "alice") -> None:
    for _ in range(times):
        failures.check(address, name)
        failures.count(address, name)


def test_as_many_as_a_minute_has_and_then_one_at_a_time(tmp_path: Path) -> None:
    clock = FakeClock()
    failures = limit(tmp_path, clock)
    fail(failures, "192.0.2.1", 6)
    with pytest.raises(RateLimited) as refused:
        failures.check("192.0.2.1", "alice")
    assert refused.value.retry_after == 10
    clock.advance(10)
    fail(failures, "192.0.2.1", 1)
    with pytest.raises(RateLimited):
        failures.check("192.0.2.1", "alice")
    clock.advance(60)
    fail(failures, "192.0.2.1", 6)


def test_other_names_go_on_until_the_address_has_sent_too_many_for_all_of_them(tmp_path: Path) -> None:
    failures = limit(tmp_path, FakeClock())
    fail(failures, "192.0.2.1", 6)
    for number in range(54):
        fail(failures, "192.0.2.1", 1, f"name-{number}")
    with pytest.raises(RateLimited):
        failures.check("192.0.2.1", "another")
    failures.check("192.0.2.2", "alice")


def test_other_addresses_go_on(tmp_path: Path) -> None:
    failures = limit(tmp_path, FakeClock())
    fail(failures, "192.0.2.1", 6)
    for number in range(200):
        failures.check(f"198.51.100.{number}", "alice")


def test_an_ipv6_network_is_one_address(tmp_path: Path) -> None:
    failures = limit(tmp_path, FakeClock())
    for number in range(6):
        fail(failures, f"2001:db8::{number}", 1)
    with pytest.raises(RateLimited):
        failures.check("2001:db8::ffff", "alice")
    failures.check("2001:db8:0:1::1", "alice")


def test_ipv4_callers_of_a_socket_for_both_versions_are_themselves(tmp_path: Path) -> None:
    failures = limit(tmp_path, FakeClock())
    fail(failures, "::ffff:192.0.2.1", 6)
    with pytest.raises(RateLimited):
        failures.check("192.0.2.1", "alice")
    failures.check("::ffff:192.0.2.2", "alice")


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.8.9.10", "::1", "0:0::1", "::ffff:127.0.0.1"])
def test_nobody_in_particular_is_not_limited(tmp_path: Path, address: str) -> None:
    fail(limit(tmp_path, FakeClock()), address, 100)


def test_workers_share_one_table(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.fakes import FakeClock\n"
        "from tests.unit.test_failure_limit import fail, limit\n"
        "sys.stdin.read(); fail(limit(Path(sys.argv[1]), FakeClock()), '192.0.2.1', 2)"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stdin=subprocess.PIPE)
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
        assert worker.wait(60) == 0
    failures = limit(tmp_path, FakeClock())
    fail(failures, "192.0.2.1", 2)
    with pytest.raises(RateLimited):
        failures.check("192.0.2.1", "alice")
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["failures"]


def test_ten_thousand_addresses_take_no_more_room_and_harm_nobody(tmp_path: Path) -> None:
    failures = limit(tmp_path, FakeClock())
    failures.check("192.0.2.1", "alice")
    size = (tmp_path / "var" / "failures").stat().st_size
    for number in range(10_000):
        for _ in range(6):
            failures.count(f"10.0.{number // 256}.{number % 256}", "alice")
    assert (tmp_path / "var" / "failures").stat().st_size == size < 2_500_000
    refused = 0
    for number in range(1000):
        try:
            failures.check(f"172.16.{number // 256}.{number % 256}", "alice")
        except RateLimited:
            refused += 1
    assert refused < 30  # 10,000 x 2 of 262,144 slots are full: 7.6 %, squared, for each of two keys


@pytest.mark.parametrize("left", [b"", b"short", bytes(SIZE), bytes([7]) * (SIZE + 1)])
def test_a_table_that_a_power_cut_left_broken_is_made_anew(tmp_path: Path, left: bytes) -> None:
    file = tmp_path / "var" / "failures"
    file.parent.mkdir()
    file.write_bytes(left)
    failures = limit(tmp_path, FakeClock())
    failures.start()
    assert file.stat().st_size == SIZE
    assert file.read_bytes()[SALT:] == bytes(SIZE - SALT) != file.read_bytes()
    fail(failures, "192.0.2.1", 6)
    with pytest.raises(RateLimited):
        failures.check("192.0.2.1", "alice")


def test_the_table_has_its_room_on_the_disk_from_the_start(tmp_path: Path) -> None:
    """A page that a full disk cannot give would end the worker by SIGBUS."""
    limit(tmp_path, FakeClock()).start()
    file = tmp_path / "var" / "failures"
    assert file.stat().st_blocks * 512 >= SIZE
    salt = file.read_bytes()[:SALT]
    with file.open("r+b") as table:  # as an earlier release left it
        table.truncate(SALT)
        table.truncate(SIZE)
    limit(tmp_path, FakeClock()).start()
    assert file.stat().st_blocks * 512 >= SIZE
    assert file.read_bytes()[:SALT] == salt


def test_a_file_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    services = build_services(
        Settings(
            auth={"failures_file": tmp_path / "file" / "failures"},
            state={"database_url": f"sqlite:///{tmp_path}/ocr.sqlite", "key_file": tmp_path / "key"},
            log={"file": str(tmp_path / "ocr.log")},
        )
    )
    with pytest.raises(RuntimeError, match=r"OCR_AUTH__FAILURES_FILE cannot be used: .*file"):
        services.start()
    services.store.close()
