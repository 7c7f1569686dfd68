"""Who may say from which address and under which id a request came."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from app.telemetry.logs import log
from tests.web.conftest import Service

GIVEN_ID = "0123456789abcdef0123456789abcdef"
NGINX = "10.1.2.3"
FORWARDED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Request-ID": GIVEN_ID}


@pytest.fixture(scope="module")
def proxied(make_service: Callable[..., Service]) -> Service:
    return make_service(auth={"proxies": "10.0.0.0/8, fd00::/8"})


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def post(service: Service, peer: str, **headers: str) -> tuple[TestResponse, dict[str, object]]:
    """The answer to an empty request from this peer, and its line in the log."""
    recorder = Recorder()
    log.addHandler(recorder)
    answer = service.post({}, headers=FORWARDED | headers, environ_base={"REMOTE_ADDR": peer})
    log.removeHandler(recorder)
    line = recorder.records[-1].fields  # type: ignore[attr-defined]
    assert line["request_id"] == answer.headers["X-Request-ID"] == answer.get_json()["request_id"]
    return answer, line


@pytest.mark.parametrize("peer", [NGINX, f"::ffff:{NGINX}", "fd00::1", ""])
def test_a_proxy_of_ours_is_believed(proxied: Service, peer: str) -> None:
    answer, line = post(proxied, peer)
    assert answer.headers["X-Request-ID"] == GIVEN_ID
    assert line["address"] == "203.0.113.7"


@pytest.mark.parametrize("peer", ["127.0.0.1", "11.0.0.1", "::1", "::ffff:11.0.0.1"])
def test_anyone_else_is_not(proxied: Service, peer: str) -> None:
    answer, line = post(proxied, peer)
    assert answer.headers["X-Request-ID"] != GIVEN_ID
    assert line["address"] == peer


def test_by_default_no_network_is_believed(service: Service) -> None:
    answer, line = post(service, "127.0.0.1")
    assert answer.headers["X-Request-ID"] != GIVEN_ID
    assert line["address"] == "127.0.0.1"


def test_a_proxy_speaks_for_the_last_address_alone(proxied: Service) -> None:
    """What a client wrote itself stands before what the proxy appended."""
    _, line = post(proxied, NGINX, **{"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
    assert line["address"] == "203.0.113.9"


@pytest.mark.parametrize("odd", ["", "0" * 31, "0" * 33, "G" * 32, GIVEN_ID.upper()])
def test_an_id_of_another_form_is_replaced(proxied: Service, odd: str) -> None:
    answer, _ = post(proxied, NGINX, **{"X-Request-ID": odd})
    assert answer.headers["X-Request-ID"] != odd
    assert len(answer.headers["X-Request-ID"]) == 32


def test_the_same_id_and_body_again_is_no_retry_once_it_was_answered(proxied: Service) -> None:
    """Nginx sends a request again when the worker that had it died: that one has no answer yet."""
    body = proxied.caller().body(picture_url="http://127.0.0.1/a.png")
    environ = {"headers": FORWARDED, "environ_base": {"REMOTE_ADDR": NGINX}}
    first, second = (proxied.post(body, **environ).get_json()["error"] for _ in range(2))
    assert (first, second) == ("picture_url_not_allowed", "nonce_replayed")
    assert proxied.post(body).get_json()["error"] == "nonce_replayed"
