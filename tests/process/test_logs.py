"""What a stranger can get into the logs of a running server."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

from tests.process.conftest import Server
from tests.signing import Caller

UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
UA = b"User-Agent: a\xc2\x9b31m\x1b[31m\xe2\x80\xae\x9b\r\n"
REQUESTS = [
    b"GET /usage?username=u&sign=TOPSECRET HTTP/1.1\r\nHost: h\r\n" + UA + b"\r\n",
    b"GET /usage HTTP/1.1\r\nHost: h\r\nReferer: http://u:TOPSECRET@h/usage?sign=TOPSECRET\r\n\r\n",
    b"GET /%0aforged%9b%1b%c2%9b%E2%80%AE%3Fsign=TOPSECRET HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://u:TOPSECRET@h/usage?sign=TOPSECRET HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /usage?sign=TOPSECRET two words HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /usage?sign='TOPSECRET\" HTTP/9\x9b.1\r\nHost: h\r\n\r\n",
    b"GET /usage?sign=TOPSECRET\x9b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"get\x1b /usage?sign=TOPSECRET HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /usage?sign=TOPSECRET HTTP/1.1\r\nHost: h\r\nNo\x9b name?sign=TOPSECRET\r\n\r\n",
    b'POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{"sign": "TOPSECRET", "a": 1}\r\n\r\n',
    b"GET /usage?sign=TOPSECRET HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: TOPSECRET?\x9b\r\n\r\n",
]
URLS = [
    "https://user:TOPSECRET\u2100@example.com/",
    "https://user:TOPSECRET[@h/",
    "ftp://u:TOPSECRET@h/?TOPSECRET",
]


def await_true(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.05)


def test_no_secret_and_no_control_character_in_any_log(server: Server) -> None:
    host, _, port = server.bind.rpartition(":")
    for request in REQUESTS:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request)
            assert connection.recv(4096).startswith(b"HTTP/1.1 ")
    caller: Caller = server.caller("logged")
    for url in URLS:
        assert server.post(caller.body(picture_url=url)).json()["status_code"] == 13
    names = ("access.log", "error.log", "ocr.log")
    await_true(lambda: server.log("access.log").count("GET /usage") >= 4)
    for name in names:
        log = server.log(name)
        assert log and "TOPSECRET" not in log, name
        assert not UNPRINTABLE.search(log), name
        assert "\nforged" not in log
    assert r'"GET /\nforged\x9b\x1b' in server.log("access.log")
    assert "Invalid HTTP request line: ..." in server.log("error.log")
