"""Large bodies from many clients: everybody else has a turn between their pieces."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import threading
import time

import requests

from tests.process.conftest import Server

CLIENTS = 4
SECONDS = 5
MIB = 1024 * 1024


def keep_sending(server: Server, body: bytes, over: threading.Event, statuses: list[int]) -> None:
    connection = http.client.HTTPConnection(server.bind, timeout=60)
    with contextlib.closing(connection):
        while not over.is_set():
            connection.request("POST", "/ocr", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            statuses.append(answer.status)
            answer.read()


def test_health_is_answered_while_clients_send_bodies_of_the_largest_size(server: Server) -> None:
    """The median: a machine with two cores has to send, too, and 220 ms it was when bodies had no turns."""
    fields = server.caller("sender").body(picture=os.urandom(10 * MIB), sign="0" * 64)
    body = json.dumps(fields).encode()
    over, statuses, times = threading.Event(), list[int](), list[float]()
    arguments = (server, body, over, statuses)
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
    assert len(statuses) > CLIENTS
    assert set(statuses) <= {401, 429}
    assert statistics.median(times) < 0.1
