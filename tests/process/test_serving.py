"""What one running server must do while it works."""

from __future__ import annotations

import json
import resource
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
import requests

from config.settings import ROOT
from samples.draw import numbered
from tests.decode_cost import children
from tests.process.conftest import Server
from tests.signing import Caller

RECEIPT = ROOT / "samples" / "receipt.png"
RETRIES = 60
MIB = 1024 * 1024


@pytest.fixture(scope="session")
def alice(server: Server) -> Caller:
    return server.caller()


def png(n: int) -> tuple[bytes, str]:
    drawn = numbered(n)
    file = BytesIO()
    drawn.image.save(file, "PNG")
    return file.getvalue(), "\n".join(drawn.lines)


def patiently(server: Server, caller: Caller, picture: bytes) -> dict[str, object]:
    """The answer, however busy the server is: as long as it says so, come back when it says."""
    for _ in range(RETRIES):
        answer = server.post(caller.body(picture=picture))
        if answer.status_code != 503:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    body: dict[str, object] = answer.json()
    return body


def test_it_reads_the_sample(server: Server, alice: Caller) -> None:
    answer = server.post(alice.body(picture=RECEIPT.read_bytes()))
    body = answer.json()
    assert (answer.status_code, body["status_code"]) == (200, 6)
    labels = json.loads((ROOT / "samples" / "labels.json").read_text())["receipt.png"]
    assert body["result"].splitlines() == labels
    assert body["picture"]["format"] == "PNG"


def test_the_command_line_signs_for_it(server: Server, alice: Caller) -> None:
    assert "145.90" in server.flask("sign", str(RECEIPT), "--user", "alice", "--send", f"{server.url}/ocr")


def test_a_hundred_pictures_at_once_each_get_their_own_text(server: Server, alice: Caller) -> None:
    pictures = [png(n) for n in range(100)]
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda p: patiently(server, alice, p[0]), pictures))
    assert [answer["result"] for answer in answers] == [text for _, text in pictures]


@pytest.mark.alone
def test_health_is_answered_at_once_while_the_engine_is_busy(server: Server, alice: Caller) -> None:
    assert slowest_health(server, alice, pictures=12) < 3 * 0.1


@pytest.mark.measure
def test_health_takes_a_tenth_of_a_second_at_most(server: Server, alice: Caller) -> None:
    seconds = slowest_health(server, alice, pictures=48)
    print(f"/healthz while the engine is busy: 99th percentile {seconds * 1000:.0f} ms")
    assert seconds < 0.1


def slowest_health(server: Server, caller: Caller, pictures: int) -> float:
    """The 99th percentile of the seconds of over a hundred answers, while four wait for their pictures."""
    picture = RECEIPT.read_bytes()
    times = []
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(patiently, server, caller, picture) for _ in range(pictures)]
        with requests.Session() as session:
            while not all(read.done() for read in reads):
                started = time.monotonic()
                assert session.get(f"{server.url}/healthz", timeout=5).json() == {"status": "ok"}
                times.append(time.monotonic() - started)
                time.sleep(0.01)
    assert all(read.result()["status_code"] == 6 for read in reads)
    assert len(times) > 100
    return sorted(times)[int(len(times) * 0.99)]


def test_a_worker_has_no_child_but_its_decode_host_and_no_connection_but_its_clients(
    server: Server, alice: Caller
) -> None:
    """OpenVINO's telemetry would fork and call home."""
    assert server.post(alice.body(picture=RECEIPT.read_bytes())).status_code == 200
    ports = {int(bind.rpartition(":")[2]) for bind in (server.bind, server.env["OCR_METRICS__BIND"])}
    for worker in server.workers():
        [host] = children(worker)
        assert b"host_child" in Path(f"/proc/{host}/cmdline").read_bytes()
        connections = tcp_connections(worker)
        assert connections  # the listener, at least
        for local, remote in connections:
            assert ports & {local[1], remote[1]}, (local, remote)
            assert remote[0].endswith(("0100007F", "00000000")), (local, remote)


def tcp_connections(pid: int) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """The (address, port) pairs of a process's own TCP sockets; addresses as the kernel writes them."""
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = row.split()
            if f"socket:[{columns[9]}]" in inodes:
                local, remote = (column.split(":") for column in columns[1:3])
                found.append(((local[0], int(local[1], 16)), (remote[0], int(remote[1], 16))))
    return found


def test_an_endless_chunked_body_is_answered_at_its_limit(server: Server) -> None:
    head = f"POST /ocr HTTP/1.1\r\nHost: {server.bind}\r\nContent-Type: application/json\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    host, port = server.bind.split(":")
    before = resident_bytes(server.workers()[0])
    sent = 0
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        while not select.select([connection], [], [], 0)[0]:
            assert sent < 64 * MIB
            connection.sendall(chunk)
            sent += len(chunk)
        answer = b""
        while not answer.endswith(b"}\n"):
            answer += connection.recv(65536) or pytest.fail(f"cut: {answer!r}")
    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["status_code"] == 19
    assert resident_bytes(server.workers()[0]) - before < 64 * MIB


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_logs_tell_of_requests_but_no_secrets(server: Server, alice: Caller) -> None:
    body = alice.body(picture_url="https://no-such-host.invalid/a.png?token=top-secret")
    answer = server.post(body)
    assert answer.status_code == 422
    line = next(
        json.loads(line)
        for line in reversed(server.log("ocr.log").splitlines())
        if json.loads(line)["request_id"] == answer.headers["X-Request-ID"]
    )
    assert (line["username"], line["status_code"], line["http"]) == (
        "alice",
        answer.json()["status_code"],
        422,
    )
    for name in ("ocr.log", "error.log", "access.log"):
        for secret in ("top-secret", body["sign"], alice.secret):
            assert secret not in server.log(name)
