"""Nothing on a request's path stops a worker's loop: measured on a real server at every route and command.

They share SQLite, or Redis and MariaDB, with many records of one user and with many users. The disk of the
server is slow to flush.
"""

from __future__ import annotations

import itertools
import secrets
import sqlite3
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import redis
import requests
from flask import Flask
from sqlalchemy import delete, func, insert, select

from app import create_app
from app.authenticate import sign
from app.state.sql.database import Database
from app.state.sql.tables import rollups, usage_days, users
from bench.reports import add_records, numbers
from config.settings import ROOT, Settings
from tests.process.conftest import Server
from tests.process.test_metrics import samples
from tests.process.test_state_faults import make_tables
from tests.servers import MySqlServer, RedisServer, which
from tests.signing import Caller

RECORDS = {"sqlite": 300_000, "redis and mariadb": 50_000}
"""Of one user. SQLite counts them in the worker, MariaDB in its own process."""

CROWD = 1_000
"""Users with a record of today: what an administrator's report reads row by row."""

DAYS = 92
UNBUILT = 2
LATE = "0.15"
"""Seconds, a bucket of the histogram: three times what may stop the loop, where other programs run, too."""
INCONCLUSIVE_TRIES = 10
"""Tries in which the loop was late and its thread waited for a core: the delay may have come from either."""

AT_ONCE = 4
"""Reports, in a worker."""
PICTURE = (ROOT / "samples" / "digits.png").read_bytes()
LARGEST = 10 * 1024 * 1024
ELSEWHERE = {"doctor", "models", "read", "routes", "run", "shell", "sign"}
"""Commands that share no store with workers, or ask it for no more than a worker does."""
NEED_REDIS = {"usage dead", "usage flush"}

_numbers = itertools.count()
pytestmark = pytest.mark.alone


@dataclass(frozen=True)
class World:
    """A server, the commands of an operator beside it, and some users."""

    server: Server
    app: Flask
    alice: Caller
    admin: Caller
    other: Caller
    folder: Path

    @property
    def services(self) -> Any:
        return self.app.extensions["ocr"]

    def get(self, path: str, expected: int = 200, **options: Any) -> requests.Response:
        answer = requests.get(f"{self.server.url}{path}", timeout=60, **options)
        assert answer.status_code == expected, answer.text
        return answer

    def post(self, body: dict[str, Any], expected: int = 200) -> None:
        assert self.server.post(body).status_code == expected

    def sign_in(self, code: str, expected: int = 200) -> None:
        body = {"username": self.alice.username, "code": code}
        answer = requests.post(f"{self.server.url}/sign-in", json=body, timeout=60)
        assert answer.status_code == expected, answer.text

    def code(self) -> str:
        code: str = self.services.codes.issue(self.alice.username)
        return code

    def report(self, caller: Caller, **fields: str) -> requests.Response:
        return requests.get(f"{self.server.url}/usage", params=signed_query(caller, **fields), timeout=60)

    def flask(self, *arguments: str) -> str:
        result = self.app.test_cli_runner().invoke(args=list(arguments))
        assert result.exit_code == 0, result.output
        return result.output

    def times_late(self) -> float:
        """How often the loop was late by more than LATE so far."""
        shown = samples(self.server)
        looked = shown["ocr_loop_delay_seconds_bucket", "+Inf"]
        return looked - shown["ocr_loop_delay_seconds_bucket", LATE]

    def waited_for_a_core_s(self) -> float:
        """The thread of the loop, so far: the machine may have more to do than it has cores for."""
        [worker] = self.server.workers()
        return int(Path(f"/proc/{worker}/task/{worker}/schedstat").read_text().split()[1]) / 1e9


def signed_query(caller: Caller, **fields: str) -> dict[str, str]:
    made = {
        "username": caller.username,
        "timestamp": str(int(time.time())),
        "nonce": secrets.token_urlsafe(12),
    } | fields
    return {"sign": sign(caller.secret, made)} | made


def whole_span() -> dict[str, str]:
    today = datetime.now(UTC).date()
    return {"from": str(today - timedelta(days=DAYS - 1)), "to": str(today)}


def fill(database: Database, records: int) -> None:
    """Records of the first user, spread evenly over the days until now, and the crowd."""
    now_ms, span_ms = int(time.time() * 1000), DAYS * 86_400_000
    crowd = [
        {"username": f"crowd-{number}", "enabled": True, "allow_legacy_sign": False}
        | dict.fromkeys(("quota_used", "rate_tat_us", "created_at"), 0)
        for number in range(CROWD)
    ]
    with database.write() as connection:
        connection.execute(insert(users), crowd)
    spread = f"{now_ms - span_ms} + i * {span_ms // records}"
    add_records(database, f"SELECT i, 1 AS user_id, {spread} AS began FROM ({numbers(records)}) AS n")  # noqa: S608
    theirs = f"{records} + id AS i, id AS user_id, {now_ms} AS began"
    add_records(database, f"SELECT {theirs} FROM users WHERE username LIKE 'crowd-%'")  # noqa: S608


def stores(request: pytest.FixtureRequest, folder: Path) -> dict[str, str]:
    """Settings that name them, empty."""
    if request.param == "sqlite":
        return {}
    redis_server: RedisServer = request.getfixturevalue("redis_server")
    mysql_server: MySqlServer = request.getfixturevalue("mysql_server")
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    mysql_server.drop_tables()
    make_tables(mysql_server.url, folder)
    return {"redis_url": redis_server.url, "database_url": mysql_server.url}


@pytest.fixture(scope="module", params=list(RECORDS))
def world(
    request: pytest.FixtureRequest,
    start_server: Callable[..., Server],
    models_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("slow-disk")
    slow_disk = folder / "slow_disk.so"
    source = Path(__file__).parent / "slow_disk.c"
    subprocess.run([which("cc"), "-shared", "-fPIC", "-o", str(slow_disk), str(source)], check=True)
    state = stores(request, folder) | {"busy_timeout_ms": 10_000, "mysql_timeout_s": 11}
    server = start_server(
        WEB_CONCURRENCY=1,
        LD_PRELOAD=slow_disk,
        OCR_AUTH__RATE_PER_MINUTE=100_000,
        OCR_AUTH__RATE_BURST=10_000,
        OCR_USAGE__REPORTS_AT_ONCE=AT_ONCE,
        **{f"OCR_STATE__{name.upper()}": value for name, value in state.items()},
    )
    var = server.home / "var"
    here = {"database_url": f"sqlite:///{var}/ocr.sqlite", "key_file": var / "secret.key"}
    settings = Settings(
        state=here | {"spool_dir": var / "spool"} | state,
        engine={"models_dir": models_dir, "crash_dir": var / "crashes"},
        log={"file": str(server.home / "log" / "commands.log")},
    )
    app = create_app(settings)
    store = app.extensions["ocr"].store
    alice, admin, other = (
        Caller(name, store.users.add(name, admin=name == "admin")) for name in ("alice", "admin", "other")
    )
    world = World(server, app, alice, admin, other, folder)
    fill(store.database, RECORDS[request.param])
    world.flask("usage", "report", "--from", whole_span()["from"])
    unbuilt(world)
    yield world
    server.stop()


only_sqlite = pytest.mark.parametrize("world", ["sqlite"], indirect=True)


@contextmanager
def traffic(world: World) -> Iterator[None]:
    """Of another user, whose requests are admitted, end and get their answer, whatever else goes on."""
    over = threading.Event()

    def send() -> None:
        with requests.Session() as session:
            while True:
                answer = world.server.post(world.other.body(picture=b"no picture"), session=session)
                assert answer.status_code == 422, answer.text
                if over.wait(0.1):
                    return

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        try:
            yield
        finally:
            over.set()
        sent.result()


def assert_loop_stays_free(world: World, action: Callable[[], object]) -> None:
    """The first try in which the loop's thread had a core decides: the loop is never late in it."""
    for _ in range(INCONCLUSIVE_TRIES):
        late, waited_s = world.times_late(), world.waited_for_a_core_s()
        with traffic(world):
            action()
        if world.times_late() == late:
            return
        assert world.waited_for_a_core_s() - waited_s > float(LATE), "late, although it had a core"
    pytest.fail(f"in {INCONCLUSIVE_TRIES} tries the machine had no core for the loop")


Route = Callable[[World], object]
ROUTES: dict[str, list[Route]] = {
    "POST /ocr": [
        lambda world: world.post(world.alice.body(picture=PICTURE)),
        lambda world: world.post(world.alice.body(picture=secrets.token_bytes(LARGEST)), 422),
        lambda world: world.post(world.alice.body(picture=PICTURE, sign="0" * 64), 401),
    ],
    "GET /usage": [
        lambda world: world.report(world.alice).raise_for_status(),
        lambda world: world.report(world.alice, **whole_span()).raise_for_status(),
        lambda world: world.report(world.admin, of="*", **whole_span()).raise_for_status(),
    ],
    "POST /sign-in": [
        lambda world: world.sign_in(world.code()),
        lambda world: world.sign_in("0" * 32, 401),
    ],
    "GET /healthz": [lambda world: world.get("/healthz")],
    "GET /readyz": [lambda world: world.get("/readyz")],
    "GET /static/<digest>/<name>": [lambda world: world.get("/static/0/console.js")],
    "GET /": [lambda world: world.get("/")],
    "GET /usage.html": [lambda world: world.get("/usage.html")],
    "GET /openapi.json": [lambda world: world.get("/openapi.json")],
    "GET /docs": [lambda world: world.get("/docs")],
}


def test_every_route_is_measured(world: World) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in world.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    assert routes == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_no_route_stops_the_loop(world: World, route: str) -> None:
    for action in ROUTES[route]:
        assert_loop_stays_free(world, partial(action, world))


@only_sqlite
def test_a_report_over_many_records_is_quick(world: World) -> None:
    """A tenth of a second, three times for other programs, and twice the disk's flush for its nonce."""
    took = [world.report(world.alice, **whole_span()).elapsed.total_seconds() for _ in range(5)]
    assert statistics.median(took) < 3 * 0.1 + 2 * 0.2, took


def unbuilt(world: World) -> None:
    """As after an upgrade that was cut short, with some days left to build."""
    with world.services.store.database.write() as connection:
        last = connection.scalar(select(func.max(rollups.c.day))) or 0
        for table in (usage_days, rollups):
            connection.execute(delete(table).where(table.c.day > last - UNBUILT))


def upgraded(world: World) -> None:
    unbuilt(world)
    world.flask("db", "upgrade")


def original(world: World) -> str:
    """The database of the service that this one replaces, with a user who has used it a lot."""
    file = world.folder / f"original-{next(_numbers)}.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE user_table (username, password, remaining_times)")
        database.execute("INSERT INTO user_table VALUES (?, 'pass', 5)", [file.stem])
        database.execute("CREATE TABLE uses (id INTEGER PRIMARY KEY, time)")
        database.executemany("INSERT INTO uses (time) VALUES (?)", [[1_700_000_000 + n] for n in range(2000)])
    return f"sqlite:///{file}"


IMPORT = ["users", "import-original", "--usage-table", "uses", "--usage-id", "id", "--usage-time", "time"]
COMMANDS: dict[str, Route] = {
    "users add": lambda world: world.flask("users", "add", f"user-{next(_numbers)}"),
    "users disable": lambda world: world.flask("users", "disable", "alice"),
    "users enable": lambda world: world.flask("users", "enable", "alice"),
    "users import-original": lambda world: world.flask(*IMPORT, original(world)),
    "users link": lambda world: world.flask("users", "link", "alice"),
    "users list": lambda world: world.flask("users", "list"),
    "users rotate-secret": lambda world: world.flask("users", "rotate-secret", "alice"),
    "users set-admin": lambda world: world.flask("users", "set-admin", "alice", "on"),
    "users set-legacy-sign": lambda world: world.flask("users", "set-legacy-sign", "alice", "off"),
    "users set-quota": lambda world: world.flask("users", "set-quota", "alice", "9999999", "--per", "month"),
    "usage tail": lambda world: world.flask("usage", "tail", "-n", "10000"),
    "usage report": lambda world: world.flask("usage", "report", "--from", whole_span()["from"]),
    "usage dead": lambda world: world.flask("usage", "dead"),
    "usage flush": lambda world: world.flask("usage", "flush", "--once"),
    "usage purge": lambda world: world.flask("usage", "purge", "--days", str(DAYS - 1 - next(_numbers) % 20)),
    "db init": lambda world: world.flask("db", "init"),
    "db status": lambda world: world.flask("db", "status"),
    "db upgrade": upgraded,
}


def test_every_command_is_measured(world: World) -> None:
    found = set()
    for name, command in world.app.cli.commands.items():
        if name not in ELSEWHERE:
            parts = command.commands if isinstance(command, click.Group) else {"": command}
            found |= {f"{name} {part}".strip() for part in parts}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_stops_the_loop_of_a_worker(world: World, command: str) -> None:
    if command in NEED_REDIS and world.services.state.redis is None:
        pytest.skip("it is for Redis")
    assert_loop_stays_free(world, lambda: COMMANDS[command](world))


@only_sqlite
@pytest.mark.parametrize("at_once", [25, 36])
def test_many_reports_at_once_hold_up_nobody(world: World, at_once: int) -> None:
    """One is made, the others may come again, with the same signature; the worker lives, others are read."""
    unbuilt(world)
    before = samples(world.server)
    workers = world.server.workers()
    queries = [signed_query(world.alice, **whole_span()) for _ in range(at_once)]

    def ask(query: dict[str, str]) -> requests.Response:
        return requests.get(f"{world.server.url}/usage", params=query, timeout=60)

    with ThreadPoolExecutor(at_once + 1) as pool:
        answers = [pool.submit(ask, query) for query in queries]
        began = time.monotonic()
        world.post(world.other.body(picture=PICTURE))
        assert time.monotonic() - began < 15
    found = [(query, answer.result()) for query, answer in zip(queries, answers, strict=True)]
    refused = [(query, answer) for query, answer in found if answer.status_code == 429]
    assert len(refused) >= at_once - 3
    assert {answer.status_code for _, answer in found} == {200, 429}
    for query, answer in refused[:2]:
        assert (answer.json()["error"], answer.headers["Retry-After"]) == ("rate_limited", "1")
        assert ask(query).status_code == 200
    assert world.server.workers() == workers
    assert "WORKER TIMEOUT" not in world.server.log("error.log")
    faults = "ocr_store_faults_total", "database"
    assert samples(world.server).get(faults) == before.get(faults)


@only_sqlite
def test_reports_of_many_users_have_a_limit(world: World) -> None:
    """Those over it are refused as busy, and are no fault of the store."""
    users = world.services.store.users
    callers = [Caller(name, users.add(name)) for name in (f"reader-{next(_numbers)}" for _ in range(24))]
    with ThreadPoolExecutor(len(callers)) as pool:
        answers = list(pool.map(lambda caller: world.report(caller, **whole_span()), callers))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= AT_ONCE
    assert {answer.json()["error"] for answer in answers if answer.status_code == 503} == {"busy"}
