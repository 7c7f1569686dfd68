"""A service that answers by a script, to see what a client sends when the real one would rarely answer so."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

HANG_UP = None
Answer = tuple[int, dict[str, str], bytes] | None
Step = Answer | Callable[[str, bytes], Answer]


def refusal(status_code: int, error: str, http: int, **headers: str) -> Answer:
    body = {"status_code": status_code, "error": error, "tips": f"A tip on {error}.", "result": None}
    return http, headers, json.dumps(body | {"request_id": "f" * 32}).encode()


def come_back(status_code: int, error: str, http: int, after_s: int = 1) -> Answer:
    return refusal(status_code, error, http, **{"Retry-After": str(after_s)})


def passed_on(url: str) -> Callable[[str, bytes], Answer]:
    """Answer as the service at this address does."""

    def step(content_type: str, body: bytes) -> Answer:
        request = urllib.request.Request(url, body, {"Content-Type": content_type})  # noqa: S310  our own server
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, {}, answer.read()

    return step


class Scripted(ThreadingHTTPServer):
    """One step for each request, the last for all that follow. nonces: of the requests, as they came."""

    daemon_threads = True

    def __init__(self, *steps: Step, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.steps: Iterable[Step] = steps
        self.nonces: list[str] = []
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/ocr"

    def next_step(self) -> Step:
        first, *rest = self.steps
        self.steps = rest or [first]
        return first

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        content_type, body = self.headers["Content-Type"], self._body()
        nonce = re.search(rb'"?nonce"?(?:\s*:\s*"|\r\n\r\n)([A-Za-z0-9_-]+)', body)
        assert nonce, body[:2000]
        self.server.nonces.append(nonce[1].decode())
        step = self.server.next_step()
        answer = step(content_type, body) if callable(step) else step
        self.close_connection = True
        if answer is HANG_UP:
            return
        status, headers, content = answer
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        pass
