"""Large bodies from many clients: everybody else has a turn between their pieces."""

from __future__ import annotations

import json
import os
import socket
import statistics
import threading
import time

import requests

from tests.process.conftest import Server

CLIENTS = 4
SECONDS = 5
MIB = 1024 * 1024


def keep_sending(server: Server, request: bytes, over: threading.Event, answers: list[bytes]) -> None:
    host, port = server.bind.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        while not over.is_set():
            connection.sendall(request)
            answers.append(connection.recv(65536)[:12])


def test_health_is_answered_while_clients_send_bodies_of_the_largest_size(server: Server) -> None:
    """The median: a machine with two cores has to send, too, and 220 ms it was when bodies had no turns."""
    fields = server.caller("sender").body(picture=os.urandom(10 * MIB), sign="0" * 64)
    body = json.dumps(fields).encode()
    head = f"POST /ocr HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    over, answers, times = threading.Event(), list[bytes](), list[float]()
    arguments = (server, head.encode() + b"Content-Type: application/json\r\n\r\n" + body, over, answers)
    clients = [threading.Thread(target=keep_sending, args=arguments) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        until = time.monotonic() + SECONDS
        with requests.Session() as session:
            while time.monotonic() < until:
                started = time.monotonic()
                assert session.get(f"{server.url}/healthz", timeout=10).ok
                times.append(time.monotonic() - started)
                time.sleep(0.02)
    finally:
        over.set()
        for client in clients:
            client.join()
    assert len(answers) > CLIENTS
    assert set(answers) <= {b"HTTP/1.1 401", b"HTTP/1.1 429"}
    assert statistics.median(times) < 0.1
