"""A picture that takes its worker down, and callers who do not wait for their answer."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image

from samples.draw import Sheet
from tests.process.conftest import Server
from tests.signing import Caller


def page(rows: int, first: int) -> bytes:
    """Long enough to read that something can happen meanwhile."""
    sheet = Sheet(1200, 40 * rows + 40)
    for row in range(rows):
        sheet.write(40, 40 * (row + 1), f"Line {first + row} of a page that takes its time to be read", 26)
    file = BytesIO()
    sheet.image.save(file, "PNG")
    return file.getvalue()


def small() -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64), "white").save(file, "PNG")
    return file.getvalue()


LONG = page(60, 100)


def await_true(condition: Callable[[], object], within_s: float = 90) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come true in time"
        time.sleep(0.005)


def readers_of(server: Server, picture: bytes) -> list[int]:
    """The workers that are reading it now."""
    return sorted(readers_in(server.home / "var" / "crashes", picture) & {*server.workers()})


def readers_in(crashes: Path, picture: bytes) -> set[int]:
    """Whose files name it: workers that read it, or were ended by it."""
    digest = hashlib.sha256(picture).hexdigest().encode()
    return {int(file.name.partition("-")[0]) for file in crashes.iterdir() if digest in file.read_bytes()}


def killed_while_reading(server: Server, caller: Caller, ending: signal.Signals) -> None:
    with ThreadPoolExecutor(1) as pool:
        sent: Future[requests.Response] = pool.submit(server.post, caller.body(picture=LONG))
        await_true(lambda: readers_of(server, LONG))
        os.kill(readers_of(server, LONG)[0], ending)
        with pytest.raises(requests.ConnectionError):
            sent.result()
    server.await_ready()


def test_what_a_worker_crashed_with_is_not_read_again_and_all_else_is(
    start_server: Callable[..., Server],
) -> None:
    """By the second instance neither: they share the folder."""
    server = start_server()
    second = start_server(
        OCR_ENGINE__CRASH_DIR=server.home / "var" / "crashes",
        OCR_STATE__DATABASE_URL=f"sqlite:///{server.home}/var/ocr.sqlite",
        OCR_STATE__KEY_FILE=server.home / "var" / "secret.key",
    )
    caller = server.caller()
    killed_while_reading(server, caller, signal.SIGKILL)
    assert server.post(caller.body(picture=LONG)).status_code == 200
    killed_while_reading(server, caller, signal.SIGSEGV)
    for instance in (second, server):
        answer = instance.post(caller.body(picture=LONG))
        assert (answer.status_code, answer.json()["error"]) == (500, "ocr_failed")
        assert instance.post(caller.body(picture=small())).status_code == 200
    assert "Segmentation fault" in server.log("ocr.log")


def test_a_caller_who_hangs_up_gives_the_place_back(start_server: Callable[..., Server]) -> None:
    """Half-closed, too."""
    server = start_server(OCR_ENGINE__THREADS=1, WEB_CONCURRENCY=1)
    caller = server.caller()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(server.post, caller.body(picture=LONG))
        await_true(lambda: readers_of(server, LONG))
        closed, half_closed = (connected(server, caller.body(picture=small())) for _ in range(2))
        time.sleep(0.2)
        closed.close()
        half_closed.shutdown(socket.SHUT_WR)
        await_true(lambda: server.log("ocr.log").count("hung up") == 2)
        assert not reading.done()
        assert reading.result().status_code == 200
    half_closed.close()


def connected(server: Server, body: dict[str, object]) -> socket.socket:
    data = json.dumps(body).encode()
    host, port = server.bind.split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    head = (
        f"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    )
    connection.sendall(head.encode() + b"\r\n" + data)
    return connection
