"""What Nginx answers itself: in the form of the contract, in two languages, and nothing of the inside."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from typing import Any

import pytest
import requests

from config.settings import ROOT, load_tips
from tests.gateway.conftest import Gateway, MakeGateway, await_true

IDENTIFIER = re.compile(r"[0-9a-f]{32}")


def raw(gateway: Gateway, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """What comes back for exactly these bytes: status, headers, body."""
    return whole_answer(sent(gateway, data))


def whole_answer(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def sent(gateway: Gateway, data: bytes) -> bytes:
    """All that comes back on one connection, until it is closed or nothing has come for a second."""
    parts = []
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(data)
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while part := connection.recv(65536):
                parts.append(part)
                connection.settimeout(1)
    return b"".join(parts)


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: ocr", "Connection: close", *lines, "", ""]
    ).encode()


TOO_LARGE = get("/ocr", "Content-Length: 15000000", method="POST")
OWN_ERRORS = [
    (get("/nowhere"), 404, None, "not_found", "not_found"),
    (get("/metrics"), 404, None, "not_found", "not_found"),
    (get("/readyz"), 404, None, "not_found", "not_found"),
    (get("/readyz/"), 404, None, "not_found", "not_found"),
    (get("//metrics"), 404, None, "not_found", "not_found"),
    (get("/static/../metrics"), 404, None, "not_found", "not_found"),
    (get("/static/0123/nothing.js"), 404, None, "not_found", "not_found"),
    (get("/static/../../config/settings.py"), 400, 7, "request_malformed", "request_malformed"),
    (get("/static/%2e%2e/web/ocr.py"), 404, None, "not_found", "not_found"),
    (get("/ocr", method="TRACE"), 405, None, "method_not_allowed", "method_not_allowed"),
    (TOO_LARGE, 413, 19, "body_too_large", "body_too_large"),
    (b"GET /ocr HTTP/1.1\r\n\r\n", 400, 7, "request_malformed", "request_malformed"),
    (get("/" + "a" * 9000), 400, 7, "request_malformed", "request_malformed"),
    (get("/ocr", "X: " + "a" * 9000), 400, 7, "request_malformed", "request_malformed"),
]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("data", "http", "code", "error", "tip"), OWN_ERRORS)
def test_nginxs_own_errors_are_in_the_contracts_form(
    gateway: Gateway, language: str, data: bytes, http: int, code: int | None, error: str, tip: str
) -> None:
    headed = data.replace(b"Host: ocr\r\n", f"Host: ocr\r\nAccept-Language: {language}-XX,fr\r\n".encode())
    if headed == data and language == "zh":
        pytest.skip("it is refused before its headers are read")
    status, headers, answer = raw(gateway, headed)
    assert status == http
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    body = json.loads(answer)
    # Where the headers were not read, nobody can know the language.
    languages = {language} if code != 7 else {language, "en"}
    assert body.pop("tips") in {load_tips()[tip][name] for name in languages}
    assert IDENTIFIER.fullmatch(body.pop("request_id"))
    assert body == {"status_code": code, "error": error, "result": None}
    assert headers["X-Request-ID"] == json.loads(answer)["request_id"]
    assert "nginx/" not in headers.get("Server", "")


def test_a_method_that_is_not_allowed_comes_with_those_that_are(gateway: Gateway) -> None:
    _, headers, _ = raw(gateway, get("/ocr", method="TRACE"))
    assert headers["Allow"] == "POST"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_services_own_errors_are_passed_on_as_they_are(gateway: Gateway, method: str) -> None:
    answer = requests.request(method, f"{gateway.url}/ocr", timeout=10)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["tips"] == "please use post method to access!"


def test_a_denied_address_is_refused_and_no_other(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(instances=1)
    (gateway.prefix / "deploy" / "deny.conf").write_text("deny 127.0.0.9;\n")
    gateway.reload()
    await_true(lambda: not source("127.0.0.9").get(f"{gateway.url}/healthz", timeout=10).ok, 10)
    refused = source("127.0.0.9").get(f"{gateway.url}/healthz", timeout=10)
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    assert refused.json()["tips"] == load_tips()["forbidden"]["en"]
    assert source("127.0.0.8").get(f"{gateway.url}/healthz", timeout=10).ok


def test_no_instance_is_busy_with_retry_after(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(instances=1)
    gateway.instances[0].stop()
    for language, name in (("en", "en"), ("zh-CN", "zh")):
        answer = requests.post(f"{gateway.url}/ocr", headers={"Accept-Language": language}, timeout=10)
        assert (answer.status_code, answer.json()["status_code"], answer.json()["error"]) == (503, 17, "busy")
        assert answer.json()["tips"] == load_tips()["busy"][name]
        assert int(answer.headers["Retry-After"]) >= 1


def source(address: str) -> requests.Session:
    """Requests that come from this loopback address."""

    class From(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, source_address=(address, 0), **options)

    session = requests.Session()
    session.mount("http://", From())
    return session


def test_every_route_of_the_contract_passes(gateway: Gateway) -> None:
    """Nginx names each path. A route that is missing in deploy/nginx.conf would be Nginx's own 404."""
    paths = requests.get(f"{gateway.url}/openapi.json", timeout=10).json()["paths"]
    served = [(method, path) for path, methods in paths.items() for method in methods]
    assert ("post", "/ocr") in served
    refused = {
        path
        for method, path in served
        if requests.request(method, gateway.url + path, timeout=10).status_code == 404
    }
    assert refused == {"/readyz"}  # the operator's


def test_what_is_logged_is_json_with_the_services_own_request_id(gateway: Gateway) -> None:
    answer = requests.post(f"{gateway.url}/ocr?token=top-secret", json={}, timeout=10)
    identifier = answer.headers["X-Request-ID"]
    line = gateway.access(identifier)
    assert (line["method"], line["path"], line["http"], line["address"]) == ("POST", "/ocr", 400, "127.0.0.1")
    assert line["seconds"] >= float(line["upstream_seconds"]) - 0.002 >= -0.002  # of two clocks of Nginx's
    assert "top-secret" not in gateway.log("nginx-access.log")
    ours = [line for home in gateway.instances for line in home.log("ocr.log").splitlines()]
    assert any(identifier in line for line in ours)


def test_the_consoles_files_are_read_from_the_disk_and_kept_for_a_while(gateway: Gateway) -> None:
    page = requests.get(f"{gateway.url}/", timeout=10)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    files = re.findall(r"/static/[0-9a-f]+/[a-z]+\.(?:css|js|svg)", page.text)
    assert files
    for path in set(files):
        answer = requests.get(gateway.url + path, timeout=10)
        assert answer.content == (ROOT / "app" / "web" / "static" / path.rpartition("/")[2]).read_bytes()
        assert answer.headers["Cache-Control"] == "max-age=3600"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = requests.get(
            gateway.url + path, headers={"If-None-Match": answer.headers["ETag"]}, timeout=10
        )
        assert again.status_code == 304
    types = {requests.get(gateway.url + path, timeout=10).headers["Content-Type"] for path in files}
    assert types <= {"text/css; charset=utf-8", "text/javascript; charset=utf-8", "image/svg+xml"}
    assert not any("/static/" in instance.log("access.log") for instance in gateway.instances)
    sample = files[0].rpartition("/")[0] + "/sample.png"
    assert requests.get(gateway.url + sample, timeout=10).headers["Content-Type"] == "image/png"
