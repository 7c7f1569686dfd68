"""The cost of a request without the engine, next to a bare Flask route on the same gunicorn."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from app.authenticate import as_signed, sign
from app.model.claim import Value
from bench import score
from bench.contenders import gunicorn, new_user, our_environment
from bench.processes import end, free_port
from bench.progress import say
from bench.servers import BenchError, Server, running
from bench.versions import NEW, Version

WORKERS = 2
ALONE = 500
"""Sequential requests, for the latencies."""

TOGETHER = 3000
CLIENTS = 8
PROCESSES = 2
WARM_UP = 100
PATIENT = {"OCR_STATE__BUSY_TIMEOUT_MS": "20000", "OCR_STATE__MYSQL_TIMEOUT_S": "30"}
"""SQLite's writers wait for each other: no request may fail by a timeout meanwhile."""

TITLES = {"bare": "bare Flask route", "embedded": "ours, SQLite", "redis": "ours, Redis"}


def measure() -> dict[str, Any]:
    """By kind: p50 and p99 of one client in ms, requests/s of several, the p50 added to the bare route."""
    kinds = list(TITLES)
    if not shutil.which("redis-server"):
        say("  without Redis: redis-server is not installed")
        kinds.remove("redis")
    found = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder, _store(kind, Path(folder)) as store:
            home = Path(folder)
            env = our_environment(home, free_port()) | store
            env |= {"WEB_CONCURRENCY": str(WORKERS), **PATIENT}
            with running(_server(kind, env, home)):
                found[kind] = _figures(env["OCR_BIND"], _bodies(new_user(env), WARM_UP + ALONE + TOGETHER))
        say(f"  {TITLES[kind]}: {found[kind]}")
    for kind in kinds:
        found[kind]["added_p50_ms"] = round(found[kind]["p50_ms"] - found["bare"]["p50_ms"], 2)
    return {"workers": WORKERS, "clients": CLIENTS, "kinds": found}


def measure_version(version: Version) -> dict[str, float]:
    """p50 of one client and requests/s of several, of a version with its embedded store and no engine."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        env = version.understood(our_environment(home, free_port()) | PATIENT) | {
            "WEB_CONCURRENCY": str(WORKERS)
        }
        with running(_server("embedded", env, home, version)):
            found = _figures(env["OCR_BIND"], _bodies(new_user(env, version), WARM_UP + ALONE + TOGETHER))
    return {"overhead p50, ms": found["p50_ms"], "overhead, requests/s": found["requests_per_s"]}


def _figures(address: str, bodies: list[bytes]) -> dict[str, float]:
    _send(address, bodies[:WARM_UP])
    waits = _send(address, bodies[WARM_UP : WARM_UP + ALONE])
    rest = bodies[WARM_UP + ALONE :]
    with get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(len, [""] * PROCESSES)  # started
        started = time.perf_counter()
        pool.starmap(_send_by_many, [(address, rest[n::PROCESSES]) for n in range(PROCESSES)])
        took = time.perf_counter() - started
    return {
        "p50_ms": round(1000 * score.percentile(waits, 0.50), 2),
        "p99_ms": round(1000 * score.percentile(waits, 0.99), 2),
        "requests_per_s": round(len(rest) / took),
        "requests_per_s_and_core": round(len(rest) / took / WORKERS),
    }


def _send_by_many(address: str, bodies: list[bytes]) -> None:
    count = CLIENTS // PROCESSES
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda n: _send(address, bodies[n::count]), range(count)))


def _send(address: str, bodies: list[bytes]) -> list[float]:
    """Send the bodies in sequence over one connection. Returns the seconds that each took."""
    connection = http.client.HTTPConnection(address, timeout=30)
    waits = []
    for body in bodies:
        started = time.perf_counter()
        connection.request("POST", "/ocr", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        waits.append(time.perf_counter() - started)
        if answer.status != 200:
            raise BenchError(f"answered {answer.status}: {text[:300]!r}")
    connection.close()
    return waits


def _server(kind: str, env: Mapping[str, str], home: Path, version: Version = NEW) -> Server:
    """gunicorn with the version's own bench.noop, which replaces a part of it, instead of run_ocr_flask."""
    application = "bench.noop:bare()" if kind == "bare" else "bench.noop:ours()"
    return Server(
        name=TITLES[kind],
        command=gunicorn(version, application),
        env=env,
        home=home,
        base_url=f"http://{env['OCR_BIND']}",
        ready_path="/readyz",
        request=lambda picture: {},
        lines=lambda answer: [],
        root=version.root,
    )


def _bodies(secret: str, count: int) -> list[bytes]:
    """Signed bodies, each with its own nonce. The picture is small, because no engine reads it."""
    picture = secrets.token_bytes(1024)
    sent = {"picture_base64": base64.b64encode(picture).decode()}
    made = []
    for _ in range(count):
        fields: dict[str, Value] = {
            "username": "bench",
            "timestamp": int(time.time()),
            "nonce": secrets.token_urlsafe(12),
            "picture_sha256": hashlib.sha256(picture).hexdigest(),
        }
        signature = sign(secret, {name: as_signed(value) for name, value in fields.items()})
        made.append(json.dumps(fields | sent | {"sign": signature}).encode())
    return made


@contextmanager
def _store(kind: str, home: Path) -> Iterator[dict[str, str]]:
    """The settings that name the store. For `redis`, a server with the options of an operator's."""
    if kind != "redis":
        yield {}
        return
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
    command += ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield {"OCR_STATE__REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    finally:
        end(redis)
