"""The same fetch as a worker runs it: patched by gevent, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
from gevent import monkey
monkey.patch_all()

import json, socket, ssl, time
from ipaddress import ip_network
import gevent
from app.errors import ServiceError
from app.fetch.fetcher import GuardedFetcher
from app.fetch.limits import FetchLimits
from tests.picture_host import PictureHost, SystemClock, http, silence, slowly

def resolve(host, port, **_):
    gevent.sleep(30 if host == "hanging.example" else 0)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

answers = {
    "/picture": http(200, b"the bytes"),
    "/silence": silence,
    "/slow-head": slowly(b"HTTP/1.1 200 OK\\r\\nX: " + b"a" * 1000, every_s=0.05),
    "/slow-body": slowly(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n" + b"a" * 900, every_s=0.05),
}
with PictureHost(answers) as host:
    limits = FetchLimits(
        timeout_s=3, connect_timeout_s=20, read_timeout_s=20, max_redirects=3, max_picture_bytes=10_000,
        slots=400, user_share=0.25, allow_ports=frozenset({host.port}), allow_hosts=frozenset(),
        allow_networks=frozenset({ip_network("127.0.0.0/8")}),
    )
    fetcher = GuardedFetcher(limits, clock=SystemClock(), resolver=resolve)
    def outcome(url):
        try:
            return fetcher.fetch(url, username="alice", deadline=time.monotonic() + 30).decode()
        except ServiceError as error:
            return error.stage

    urls = {
        "picture": host.url(host="good.example"),
        "look-up": host.url(host="hanging.example"),
        "handshake": host.url("/silence").replace("http:", "https:"),
        "silence": host.url("/silence"),
        "head": host.url("/slow-head"),
        "body": host.url("/slow-body"),
    }
    host.answers[""] = silence
    started = time.monotonic()
    running = {name: gevent.spawn(outcome, url) for name, url in urls.items()}
    gevent.joinall(running.values(), timeout=20)
    took = time.monotonic() - started
    outcomes = {name: greenlet.value for name, greenlet in running.items()}
print(json.dumps({"outcomes": outcomes, "took": took}))
"""


def test_total_time_holds_in_every_stage() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKER], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    late = dict.fromkeys(("look-up", "handshake", "silence", "head", "body"), "timeout")
    assert told["outcomes"] == {"picture": "the bytes", **late}
    assert told["took"] < 10
    assert done.stderr == ""
