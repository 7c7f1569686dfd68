"""Neighbours behind one address, strangers who look for names, and users who flood, on real servers."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from app.authenticate import as_signed
from app.state.sql.store import SqlStore
from app.system.clock import SystemClock
from config.settings import ROOT
from tests.contract.state import sql_store
from tests.names_by_time import KNOWN, REFUSED_URL, add_users, by_chance, seconds_taken, told_apart
from tests.process.conftest import Server
from tests.process.test_database import environment, flask
from tests.process.test_metrics import samples
from tests.servers import MySqlServer, redis_before_mariadb
from tests.signing import Caller

PICTURE = (ROOT / "samples" / "digits.png").read_bytes()
LETTER = (ROOT / "samples" / "letter.jpg").read_bytes()
A_MINUTE = 15
ROUNDS = 200
READERS = 20


@dataclass(frozen=True)
class Site:
    """A server that believes X-Forwarded-For, with Redis in front of a MariaDB."""

    server: Server
    mysql: MySqlServer

    def code(self, body: dict[str, Any], address: str = "127.0.0.1") -> int:
        code: int = self.server.post(body, headers={"X-Forwarded-For": address}).json()["status_code"]
        return code

    def store(self, folder: Path) -> closing[SqlStore]:
        """The server's database, without Redis."""
        key_file = Path(self.server.env["OCR_STATE__KEY_FILE"])
        return closing(sql_store(folder, SystemClock(), database_url=self.mysql.url, key_file=key_file))

    def faults(self) -> float:
        """Of the database, which page the operator."""
        return samples(self.server).get(("ocr_store_faults_total", "database"), 0.0)


@pytest.fixture(scope="module")
def site(start_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("limits")
    with redis_before_mariadb(folder) as (mysql, state):
        state["OCR_STATE__KEY_FILE"] = str(folder / "key")
        made = flask(environment(folder, mysql.url) | state, "db", "init")
        assert made.returncode == 0, made.stderr
        settings = {"OCR_AUTH__PROXIES": "127.0.0.1", "OCR_AUTH__FAILURES_PER_MINUTE": A_MINUTE}
        yield Site(start_server(**state, **settings), mysql)


@pytest.fixture(scope="module")
def alice(site: Site) -> Caller:
    """Redis knows her."""
    alice = site.server.caller("alice")
    assert site.code(alice.body(picture_url=REFUSED_URL)) == 13
    return alice


def wrong(name: str, *, legacy: bool = False) -> dict[str, Any]:
    body = Caller(name, "another secret").legacy_body if legacy else Caller(name, "another secret").body
    return body(picture_url=REFUSED_URL)


def test_right_signatures_pass_while_wrong_ones_come_from_their_address(site: Site, alice: Caller) -> None:
    address = "192.0.2.1"
    with ThreadPoolExecutor(4) as pool:
        others = [
            pool.submit(lambda name: [site.code(wrong(name), address) for _ in range(2 * A_MINUTE)], name)
            for name in ("alice", "nobody")
        ]
        time.sleep(0.2)
        right = [site.code(alice.body(picture_url=REFUSED_URL), address) for _ in range(24)]
        answers = [other.result() for other in others]
        right += [site.code(alice.body(picture_url=REFUSED_URL), address) for _ in range(24)]
    assert right == [13] * 48
    for codes in answers:
        assert set(codes[:A_MINUTE]) == {4}
        assert 12 in codes


@pytest.mark.parametrize("legacy", [True, False])
def test_a_right_guess_of_a_password_does_not_show_over_the_limit(
    site: Site, alice: Caller, legacy: bool
) -> None:
    """And nobody learns which names may have one: wrong signatures are answered alike for all of them."""
    name, address = f"weak-{legacy}".lower(), f"192.0.2.{2 + legacy}"
    weak = site.server.caller(name, allow_legacy_sign=True)
    for tried in (name, "alice", "nobody"):
        codes = [site.code(wrong(tried, legacy=legacy), address) for _ in range(A_MINUTE)]
        assert set(codes) == {4}
        while site.code(wrong(tried, legacy=legacy), address) != 12:
            pass
    right = (weak.legacy_body if legacy else weak.body)(picture_url=REFUSED_URL)
    while site.code(wrong(name, legacy=legacy), address) != 12:
        pass
    assert site.code(right, address) == 12
    assert site.code(right, "192.0.2.9") == 13
    assert site.code(alice.body(picture_url=REFUSED_URL), address) == 13


@pytest.mark.alone
def test_names_cannot_be_told_apart_by_time(site: Site, alice: Caller, tmp_path: Path) -> None:
    """`python -m tests.names_by_time` does the same with more rounds, and on SQLite too."""
    with site.store(tmp_path) as store:
        names = add_users(store, in_use=alice.username, rounds=ROUNDS)
    taken = seconds_taken(site.server.bind, names, ROUNDS)
    found = {kind: told_apart(taken["unknown"], taken[kind]) for kind in KNOWN}
    assert max(found.values()) < by_chance(ROUNDS, deviations=4), found


def test_names_cannot_be_told_apart_while_the_database_is_down(site: Site, alice: Caller) -> None:
    with site.mysql.stopped():
        for _ in range(3):
            assert [site.code(wrong(name)) for name in ("alice", "disabled", "nobody")] == [18] * 3
            assert site.code(alice.body(picture_url=REFUSED_URL)) == 13
    give_up = time.monotonic() + 30
    while (codes := [site.code(wrong(name)) for name in ("alice", "nobody")]) != [4, 4]:
        assert time.monotonic() < give_up, codes
        time.sleep(0.2)


def test_many_reports_at_once_are_no_faults_of_mariadb(site: Site, tmp_path: Path) -> None:
    """Of users whose days are not summed yet. Those over the limit are refused as busy."""
    with site.store(tmp_path) as store:
        names = [f"reader-{number}" for number in range(READERS)]
        readers = [Caller(name, store.users.add(name)) for name in names]
    site.mysql.execute(
        "INSERT INTO ocr.usage_records (request_id, user_id, username, started_at, status_code, charged)"
        " SELECT unhex(lpad(hex(seq * 1000 + users.id), 32, '0')), users.id, username,"
        " (unix_timestamp() - seq * 300) * 1000, 14, 0"
        " FROM ocr.seq_1_to_3000, ocr.users WHERE username LIKE 'reader-%'"
    )
    before = site.faults()
    queries = [usage_query(reader) for reader in readers]
    with ThreadPoolExecutor(READERS) as pool:
        answers = list(
            pool.map(lambda query: requests.get(f"{site.server.url}/usage?{query}", timeout=60), queries)
        )
    assert {answer.json()["error"] for answer in answers} <= {None, "busy"}
    made = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(made) >= 12
    assert {report["total"]["requests"] for report in made} == {3000}
    assert site.faults() == before


def replayed(caller: Caller) -> Callable[[], tuple[str, str, str]]:
    body = json.dumps(caller.body(picture_url=REFUSED_URL))
    return lambda: ("POST", "/ocr", body)


def broken(caller: Caller) -> Callable[[], tuple[str, str, str]]:
    return lambda: ("POST", "/ocr", json.dumps(caller.body(picture=b"\x89PNG\r\n\x1a\nno more")))


def crowded(caller: Caller) -> Callable[[], tuple[str, str, str]]:
    """Pictures at the rate that the user may send, and more than the engine can read in so short a time."""
    return lambda: ("POST", "/ocr", json.dumps(caller.body(picture=LETTER, timeout_ms=500)))


def report(caller: Caller) -> Callable[[], tuple[str, str, str]]:
    return lambda: ("GET", f"/usage?{usage_query(caller)}", "")


@pytest.mark.alone
@pytest.mark.parametrize("kind", [replayed, broken, crowded, report])
def test_a_flood_of_one_users_requests_leaves_the_others_their_time(
    server: Server, kind: Callable[[Caller], Callable[[], tuple[str, str, str]]]
) -> None:
    """95 of 100 of another's requests take less than three times as long as without the flood."""
    caller, other = server.caller(f"flood-{kind.__name__}"), server.caller(f"beside-{kind.__name__}")
    with flooded(server, kind(caller), connections=2) if kind is crowded else nullcontext():
        calm = usage_seconds(server, other)  # while the engine is as busy as during the flood
    with flooded(server, kind(caller)) as codes:
        give_up = time.monotonic() + 30
        while codes.total() < 100:  # more than are answered at once
            assert time.monotonic() < give_up, codes
            time.sleep(0.1)
        time.sleep(1)
        before, begun = codes.total(), time.monotonic()
        taken = usage_seconds(server, other)
        answered, seconds = codes.total() - before, time.monotonic() - begun
    print(f"beside a flood ({kind.__name__}): {taken * 1000:.0f} ms instead of {calm * 1000:.0f}")
    assert kind is not crowded or codes["503"], codes
    assert taken < 3 * calm
    assert answered < 64 * seconds  # of 32 connections, each about a second


def usage_query(caller: Caller, **more: Any) -> str:
    return urlencode({name: as_signed(value) for name, value in caller.body(**more).items()})


def usage_seconds(server: Server, caller: Caller) -> float:
    """The 95th percentile of what an ordinary request takes."""
    host, port = server.bind.split(":")
    taken = []
    with closing(http.client.HTTPConnection(host, int(port), timeout=60)) as connection:
        for _ in range(25):
            query = usage_query(caller)
            started = time.perf_counter()
            connection.request("GET", f"/usage?{query}")
            answer = connection.getresponse()
            answer.read()
            taken.append(time.perf_counter() - started)
            assert answer.status == 200
            time.sleep(0.05)
    return sorted(taken)[int(len(taken) * 0.95)]


@contextmanager
def flooded(
    server: Server, ask: Callable[[], tuple[str, str, str]], *, connections: int = 32
) -> Iterator[Counter[str]]:
    """Connections that ask as fast as they are answered; the answers by HTTP status."""
    host, port = server.bind.split(":")
    codes: Counter[str] = Counter()
    stop = threading.Event()

    def keep_asking() -> None:
        with closing(http.client.HTTPConnection(host, int(port), timeout=60)) as connection:
            while not stop.is_set():
                method, path, body = ask()
                connection.request(method, path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                codes[str(answer.status)] += 1

    with ThreadPoolExecutor(connections) as pool:
        running = [pool.submit(keep_asking) for _ in range(connections)]
        try:
            yield codes
        finally:
            stop.set()
        for thread in running:
            thread.result()
