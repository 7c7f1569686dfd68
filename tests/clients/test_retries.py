"""What every client sends again, and what it must not."""

from __future__ import annotations

import pytest

from tests.clients.conftest import LINES, RECEIPT, Command
from tests.clients.scripted import HANG_UP, Scripted, Step, come_back, passed_on, refusal
from tests.process.conftest import Server
from tests.signing import Caller

NOBODY = Caller("alice", "any secret")


def test_a_refusal_for_a_time_is_sent_again_with_a_new_nonce(
    client: Command, service: Server, caller: Caller
) -> None:
    steps = (
        come_back(17, "busy", 503),
        come_back(12, "rate_limited", 429),
        come_back(18, "dependency_unavailable", 503),
        passed_on(f"{service.url}/ocr"),
    )
    with Scripted(*steps) as scripted:
        assert client.text(client.run(str(RECEIPT), url=scripted.url, caller=caller)) == LINES
    assert len(set(scripted.nonces)) == len(scripted.nonces) == 4


@pytest.mark.parametrize(
    "step",
    [
        HANG_UP,
        come_back(11, "quota_exhausted", 429),
        (503, {"Retry-After": "1"}, b"<html>Down for maintenance</html>"),
        refusal(5, "ocr_failed", 500),
        refusal(9, "nonce_replayed", 409),
        (502, {}, b"<html>Bad Gateway</html>"),
    ],
    ids=["lost", "quota", "maintenance", "failed", "replayed", "gateway"],
)
def test_what_may_have_been_read_or_will_not_change_is_sent_once(client: Command, step: Step) -> None:
    with Scripted(step) as scripted:
        done = client.run(str(RECEIPT), url=scripted.url, caller=NOBODY)
    assert done.returncode in (1, 3)
    assert done.stdout or done.stderr
    assert len(scripted.nonces) == 1


def test_it_gives_up_at_last(client: Command) -> None:
    with Scripted(come_back(17, "busy", 503)) as scripted:
        patience = ("--patience", "4") if client.read[-1] == "read" else ()
        done = client.run(str(RECEIPT), *patience, url=scripted.url, caller=NOBODY)
    assert done.returncode == 1
    assert "busy" in done.stdout + done.stderr
    assert 3 <= len(scripted.nonces) <= 5
