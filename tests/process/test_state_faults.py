"""Redis and MariaDB stopped, paused, emptied and killed under a running server: nothing lost, nothing twice.

Outages last a few seconds; TEST_LONG_OUTAGES=1 gives them their full minute.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import requests

from app.state.redis_front.keys import held_key
from app.state.redis_front.pending import PendingUsage
from app.state.redis_front.spool import Spool
from app.state.sql.quota_period import QuotaPeriod
from config.settings import ROOT
from tests.process.conftest import Server
from tests.process.moving import start_mover
from tests.process.tapped import Tap
from tests.process.test_crash import LONG, await_true, small
from tests.servers import MySqlServer, RedisServer
from tests.signing import Caller

PICTURE = (ROOT / "samples" / "digits.png").read_bytes()
OUTAGE_S = 60 if os.environ.get("TEST_LONG_OUTAGES") else 6
FLASK = str(Path(sys.prefix, "bin", "flask"))
GRANTED = 1000


@dataclass(frozen=True)
class Site:
    """A server of two workers in front of a Redis and a MariaDB of its own."""

    server: Server
    redis: RedisServer
    mysql: MySqlServer

    def ask(self, *command: str | int) -> Any:
        with redis.Redis.from_url(self.redis.url, decode_responses=True) as client:
            return client.execute_command(*command)

    def user(self, name: str, quota: int = GRANTED) -> Caller:
        added = self.server.flask("users", "add", name, "--quota", str(quota))
        return Caller(name, added.split()[-1])

    def post(self, body: dict[str, Any]) -> requests.Response:
        """A busy server is asked again, when it says."""
        while True:
            answer = self.server.post(body)
            if answer.json()["status_code"] != 17:
                return answer
            time.sleep(int(answer.headers["Retry-After"]))

    def recognise(self, caller: Caller, picture: bytes = PICTURE) -> requests.Response:
        answer = self.post(caller.body(picture=picture))
        assert answer.status_code == 200, answer.text
        return answer

    def rows(self, username: str) -> Counter[int]:
        """How many there are of each status_code, once all has been moved."""
        self.server.flask("usage", "flush", "--once")
        found = self.mysql.execute(
            f"SELECT status_code, COUNT(*) FROM ocr.usage_records WHERE username = '{username}'"  # noqa: S608
            " GROUP BY status_code"
        )
        return Counter({code: int(count) for code, count in found})

    def quota_is_granted_less_rows(self, caller: Caller, granted: int = GRANTED) -> None:
        """By the next answer, the list of users, and the rows themselves."""
        charged = self.rows(caller.username)[6]
        left = self.recognise(caller).json()["quota"]["remaining"]
        assert left == granted - charged - 1
        assert self.rows(caller.username)[6] == charged + 1
        assert self.listed(caller.username) == charged + 1

    def user_id(self, username: str) -> int:
        [(found,)] = self.mysql.execute(f"SELECT id FROM ocr.users WHERE username = '{username}'")  # noqa: S608
        return int(found)

    def listed(self, username: str) -> int:
        """What `users list` says to be used."""
        heads, *lines = (line.split() for line in self.server.flask("users", "list").splitlines())
        [user] = [dict(zip(heads, line, strict=False)) for line in lines if line[0] == username]
        return int(user["USED"])

    def counted(self, username: str) -> int:
        """Redis's own counter: rows, and what is none yet."""
        user_id = self.user_id(username)
        rows = self.ask("HGET", f"ocr:quota:{user_id}:none:0", "rows")
        return int(rows) + int(self.ask("SCARD", f"ocr:held:{user_id}:none:0"))

    def back(self, caller: Caller) -> float:
        """Seconds until a request succeeds again."""
        begun = time.monotonic()
        while True:
            answer = self.server.post(caller.body(picture=b"no picture"))
            if answer.json()["status_code"] == 16:  # admitted, and not worth an engine's time
                return time.monotonic() - begun
            assert time.monotonic() - begun < 30, answer.text
            time.sleep(0.02)

    @contextmanager
    def mover(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen([FLASK, "usage", "flush"], cwd=ROOT, env=self.server.env | variables)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, -signal.SIGKILL)


@pytest.fixture(scope="module")
def site(start_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folders = [tmp_path_factory.mktemp(name) for name in ("redis", "mysql")]
    stores = (RedisServer(folders[0]), MySqlServer(folders[1]))
    try:
        for store in stores:
            store.start()
        make_tables(stores[1].url, folders[1])
        server = start_server(
            WEB_CONCURRENCY=2,
            OCR_STATE__REDIS_URL=stores[0].url,
            OCR_STATE__DATABASE_URL=stores[1].url,
            OCR_STATE__CLAIM_AFTER_S=0.1,
            OCR_AUTH__RATE_PER_MINUTE=100_000,
            OCR_AUTH__RATE_BURST=10_000,
        )
        yield Site(server, *stores)
        server.stop()
    finally:
        for store in stores:
            store.stop()


def make_tables(database_url: str, folder: Path) -> None:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    env = outer | {"OCR_HOME": str(folder), "OCR_STATE__DATABASE_URL": database_url}
    subprocess.run([FLASK, "db", "init"], cwd=ROOT, env=env, check=True, capture_output=True)


@contextmanager
def load(site: Site, caller: Caller, clients: int = 2) -> Iterator[list[requests.Response]]:
    """Pictures sent one after the other by each client; the answers."""
    answers: list[requests.Response] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(site.post(caller.body(picture=PICTURE)))

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask) for _ in range(clients)]
        try:
            yield answers
        finally:
            stop.set()
        for one in asking:
            one.result()


def test_of_fifty_at_once_with_one_remaining_one_is_accepted(site: Site) -> None:
    alice = site.user("fifty", quota=1)
    with ThreadPoolExecutor(50) as pool:
        bodies = [alice.body(picture=PICTURE) for _ in range(50)]
        codes = Counter(answer.json()["status_code"] for answer in pool.map(site.post, bodies))
    assert codes == {6: 1, 11: 49}
    assert site.counted("fifty") == 1
    assert site.rows("fifty") == {6: 1}
    assert site.counted("fifty") == 1
    assert site.listed("fifty") == 1


@pytest.mark.parametrize("ahead_s", [0, 55])
def test_no_replay_is_accepted_whatever_happened_to_redis(site: Site, ahead_s: int) -> None:
    alice = site.user(f"replayed-{ahead_s}")
    body = alice.body(picture=b"no picture", timestamp=int(time.time()) + ahead_s)
    assert site.post(body).json()["status_code"] == 16

    def replays(count: int = 50, at_once: int = 10) -> set[int]:
        with ThreadPoolExecutor(at_once) as pool:
            return {answer.json()["status_code"] for answer in pool.map(site.post, [body] * count)}

    assert replays(at_once=1) == {9}
    assert replays() == {9}
    with site.redis.stopped():
        pass
    site.back(alice)
    assert replays() == {9}
    site.ask("FLUSHALL")
    assert replays() == {18}
    with site.redis.stopped():
        site.redis.drop_file()
    assert replays() == {18}
    open_now(site)
    site.back(alice)
    if ahead_s == 0:  # the other is younger than a window that was cut short
        assert replays() == {8}


def open_now(site: Site) -> None:
    """As if the window after an emptied Redis were over."""
    deadline = time.monotonic() + 10
    while not site.ask("EXISTS", "ocr:epoch"):
        assert time.monotonic() < deadline
        requests.get(f"{site.server.url}/readyz", timeout=5)
        time.sleep(0.1)
    time.sleep(1)  # what is signed from now on is younger than what was used before
    site.ask("HSET", "ocr:epoch", "opens_ms", int(time.time()) * 1000)


@pytest.mark.parametrize("fault", ["stopped", "paused", "refusing writes"])
def test_without_redis_18_comes_soon_and_it_is_back_soon(site: Site, fault: str) -> None:
    """Up to three outages: others have this machine's processors too."""
    alice = site.user(fault.replace(" ", "-"))
    outages: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "stopped": site.redis.stopped,
        "paused": site.redis.paused,
        "refusing writes": site.redis.refusing_writes,
    }
    site.recognise(alice)
    for _ in range(3):
        slowest_s = slowest_refusal(site, alice, outages[fault]())
        back_s = site.back(alice)
        if slowest_s < 0.3 and back_s < 1:
            break
    assert slowest_s < 0.3 and back_s < 1
    assert set(site.rows(alice.username)) <= {6, 16, 18}
    site.quota_is_granted_less_rows(alice)


def slowest_refusal(site: Site, caller: Caller, outage: AbstractContextManager[None]) -> float:
    """Seconds, of twenty while Redis is away."""
    times = []
    with ThreadPoolExecutor(4) as pool, outage:
        for _ in range(5):  # longer than the breaker rests, so that Redis is asked each time
            bodies = [caller.body(picture=b"no picture") for _ in range(4)]
            for answer in pool.map(site.server.post, bodies):
                assert (answer.status_code, answer.json()["status_code"]) == (503, 18)
                assert answer.headers["Retry-After"] == "1"
                times.append(answer.elapsed.total_seconds())
            assert requests.get(f"{site.server.url}/healthz", timeout=5).ok
            time.sleep(0.3)
    return max(times)


@pytest.mark.parametrize("fault", ["stopped", "paused"])
def test_without_mysql_known_users_are_served_and_each_answer_becomes_one_row(site: Site, fault: str) -> None:
    alice = site.user(f"mysql-{fault}")
    site.recognise(alice)
    outage = site.mysql.stopped if fault == "stopped" else site.mysql.paused
    with site.mover(), load(site, alice) as answers:
        with outage():
            time.sleep(OUTAGE_S)
            site.server.await_ready()
        time.sleep(1)
    assert {answer.status_code for answer in answers} == {200}
    assert len(answers) > OUTAGE_S / 3
    assert site.rows(alice.username) == {6: len(answers) + 1}
    site.quota_is_granted_less_rows(alice)


def test_a_user_nobody_knows_waits_for_mysql(site: Site) -> None:
    with site.mysql.stopped():
        answer = site.server.post(Caller("nobody-knows", "secret").body(picture=PICTURE))
        assert answer.json()["status_code"] == 18
    time.sleep(int(answer.headers["Retry-After"]))
    assert site.post(Caller("nobody-knows", "secret").body(picture=PICTURE)).json()["status_code"] == 4


@dataclass
class Leftovers:
    """What a mover finds besides good records: one of each kind, again whenever it was dealt with."""

    site: Site
    username: str
    spooled: int = 0
    lost: int = 0
    bad: int = 0

    def __post_init__(self) -> None:
        self._spool = Spool(self.site.server.home / "var" / "spool")
        self._user_id = self.site.user_id(self.username)
        self._dead_before = self.dead()

    def dead(self) -> int:
        return int(self.site.ask("XLEN", "ocr:usage:dead"))

    def top_up(self) -> None:
        if not self.site.ask("ZCARD", "ocr:open"):
            self._begun(time.time() - 1000)
            self.lost += 1
        if not len(self._spool):
            begun = self._begun(time.time())
            end = {"status_code": 6, "finished_at": begun.row["started_at"] + 1}
            self._spool.add(begun.updated(**end))
            self.spooled += 1
        if self.dead() == self._dead_before + self.bad:
            self.site.ask("XADD", "ocr:usage", "*", "entry", "no record")
            self.bad += 1

    def _begun(self, moment: float) -> PendingUsage:
        """A request that was admitted, of whose worker nothing was heard since."""
        started_at = int(moment * 1000)
        row = {"user_id": self._user_id, "username": self.username, "started_at": started_at}
        begun = PendingUsage(QuotaPeriod(self._user_id), {"request_id": uuid4().hex, **row})
        self.site.ask("SADD", held_key(begun.period), begun.request_id)
        self.site.ask("ZADD", "ocr:open", started_at, begun.member)
        return begun

    def moved(self) -> Counter[int]:
        """The rows there must be of them; each of the bad is one dead letter."""
        assert self.dead() == self._dead_before + self.bad
        return Counter({6: self.spooled, 5: self.lost})


def test_the_mover_may_be_killed_at_every_step(site: Site) -> None:
    """Each run is killed one command later than the run before, and before it has the answer to it."""
    alice = site.user("killed-mover")
    sent = 0
    leftovers = Leftovers(site, alice.username)
    picture = small()  # charged as any other, and soon read
    while True:
        site.recognise(alice, picture)
        sent += 1
        leftovers.top_up()
        with Tap(site.redis.port) as redis_tap, Tap(site.mysql.port, counter=redis_tap.counter) as mysql_tap:
            env = site.server.env | {
                "OCR_STATE__REDIS_URL": f"redis://127.0.0.1:{redis_tap.port}/0",
                "OCR_STATE__DATABASE_URL": site.mysql.url.replace(str(site.mysql.port), str(mysql_tap.port)),
            }
            mover = start_mover(site.server.home, env)
            redis_tap.counter.at(sent, mover.kill)
            mover.join(60)
        if mover.exitcode == 0:
            break
        assert mover.exitcode == -signal.SIGKILL
    assert min(leftovers.spooled, leftovers.lost, leftovers.bad) > 1
    assert sent > 20
    rows = site.rows(alice.username)
    assert rows == leftovers.moved() + Counter({6: sent})
    site.quota_is_granted_less_rows(alice)


def test_redis_killed_between_admission_and_record(site: Site) -> None:
    alice = site.user("spooled", quota=3)
    with ThreadPoolExecutor(1) as pool:
        asked: Future[requests.Response] = pool.submit(site.recognise, alice, LONG)
        await_true(lambda: site.ask("ZCARD", "ocr:open"))
        site.redis.stop(signal.SIGKILL)
        assert asked.result().status_code == 200
    spool = site.server.home / "var" / "spool"
    [file] = spool.iterdir()
    assert json.loads(file.read_text())["row"]["status_code"] == 6
    assert file.stat().st_mode & 0o077 == 0
    site.redis.start()
    with site.mover():
        await_true(lambda: not list(spool.iterdir()))
    assert site.rows("spooled") == {6: 1}
    site.quota_is_granted_less_rows(alice, granted=3)


def test_a_record_that_nothing_takes_is_no_success(site: Site) -> None:
    alice = site.user("no-spool")
    spool = site.server.home / "var" / "spool"
    spool.rmdir()
    spool.write_text("no folder")
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(site.post, alice.body(picture=LONG))
            await_true(lambda: site.ask("ZCARD", "ocr:open"))
            site.redis.stop(signal.SIGKILL)
            assert asked.result().json()["status_code"] == 18
    finally:
        spool.unlink()
        site.redis.start()
    site.back(alice)


def test_a_caller_learns_its_own_figures(site: Site) -> None:
    alice = site.user("figures")
    site.recognise(alice)
    site.back(alice)
    site.server.flask("usage", "flush", "--once")
    answer = requests.get(f"{site.server.url}/usage", params=alice.body(), timeout=30)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["quota"] == {"period": "none", "limit": GRANTED, "used": 1, "remaining": GRANTED - 1}
    assert told["total"]["by_code"] == {"6": 1, "16": 1}
    again = requests.get(answer.url, timeout=30)
    assert again.json()["status_code"] == 9


def test_a_disabled_user_stops_within_a_second_on_all_workers(site: Site) -> None:
    alice = site.user("disabled")
    site.back(alice)
    site.server.flask("users", "disable", "disabled")
    time.sleep(1)
    codes = {site.post(alice.body(picture=b"no picture")).json()["status_code"] for _ in range(20)}
    assert codes == {10}


def test_both_emptied_and_restarted(site: Site) -> None:
    """Last: it takes everything from the others."""
    with site.redis.stopped(), site.mysql.stopped():
        site.redis.drop_file()
    site.mysql.empty_tables()
    alice = site.user("anew", quota=20)
    site.back(alice)
    for _ in range(3):
        site.recognise(alice)
    site.quota_is_granted_less_rows(alice, granted=20)

    with site.redis.stopped():  # and Redis alone: what was used is in the rows
        site.redis.drop_file()
    assert site.post(alice.body(picture=b"no picture")).json()["status_code"] == 18
    open_now(site)
    site.back(alice)
    site.quota_is_granted_less_rows(alice, granted=20)
