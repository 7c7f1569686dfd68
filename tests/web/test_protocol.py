"""What holds for every request: JSON for every error, languages, routes, and no 5xx for any input."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from app import errors
from app.model.usage import RECOGNISED
from config.settings import load_tips
from tests.web.conftest import Service

MUTATIONS = 500
"""`make hostile` sends ten thousand of them to a real server."""
UNREACHABLE = "http://127.0.0.1/a.png"


def service_errors() -> list[type[errors.ServiceError]]:
    return errors.ServiceError.__subclasses__()


def test_get_answers_with_the_originals_words(service: Service) -> None:
    answer = service.app.test_client().get("/ocr")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.get_json()["tips"] == "please use post method to access!"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_is_allowed(service: Service, method: str) -> None:
    answer = service.app.test_client().open("/ocr", method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_an_unknown_address_is_json_too(service: Service) -> None:
    answer = service.app.test_client().get("/nothing")
    assert answer.status_code == 404
    body = answer.get_json()
    assert (body["status_code"], body["error"], body["result"]) == (None, "not_found", None)
    assert body["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.5", "zh"),
        ("zh-CN,en;q=0.5", "zh"),
        ("en;q=0.3,zh-TW;q=0.8", "zh"),
        ("zh", "zh"),
        ("en-GB", "en"),
        ("fr", "en"),
        ("", "en"),
        ("x;q=y", "en"),
    ],
)
def test_tips_are_in_the_callers_language(service: Service, accept: str, language: str) -> None:
    answer = service.post({}, headers={"Accept-Language": accept})
    assert answer.get_json()["tips"] == load_tips()["username_missing"][language]


def test_every_error_has_a_code_of_its_own_and_tips_in_both_languages() -> None:
    tips = load_tips()
    codes = sorted([*(error.status_code for error in service_errors()), RECOGNISED])
    assert codes == list(range(21))
    for error in service_errors():
        assert tips[error.error].keys() == {"en", "zh"}
    for sentences in tips.values():
        assert all(sentences.values())


def test_every_route_says_who_may_call_it(service: Service) -> None:
    routes = {
        rule.rule: getattr(service.app.view_functions[rule.endpoint], "callers", None)
        for rule in service.app.url_map.iter_rules()
    }
    assert routes == {
        "/ocr": "signed",
        "/usage": "signed",
        "/sign-in": "code",
        "/healthz": "anyone",
        "/readyz": "operator",
        "/": "anyone",
        "/docs": "anyone",
        "/usage.html": "anyone",
        "/openapi.json": "anyone",
        "/static/<digest>/<name>": "anyone",
    }


def test_the_service_is_ready_once_it_has_read_its_own_picture(service: Service) -> None:
    answer = service.app.test_client().get("/readyz")
    assert (answer.status_code, answer.get_json()) == (
        200,
        {"status": "ready", "store": "ok", "engine": "ok"},
    )


def test_mutated_requests_give_no_5xx(service: Service) -> None:
    """Bytes of good requests are flipped, cut, doubled and swapped; some stay good up to the address."""
    chance = random.Random(20)  # noqa: S311
    alice = service.caller()
    client = service.app.test_client()
    seen: dict[int, int] = {}
    for _ in range(MUTATIONS):
        fields = alice.body(picture_url=UNREACHABLE, boxes=True, min_score="0.5", timeout_ms=5000)
        headers = {"Content-Type": "application/json", "Accept-Language": "zh"}
        if chance.random() < 0.3:
            fields = _changed(fields, chance)
        data = json.dumps(fields).encode()
        if chance.random() < 0.7:
            data = _mutated(data, chance)
        if chance.random() < 0.1:
            name = chance.choice(list(headers))
            headers[name] = _mutated(headers[name].encode(), chance).decode("latin-1").translate(_NO_BREAKS)
        answer = client.post("/ocr", data=data, headers=headers)
        assert answer.status_code < 500, (data, answer.get_json())
        assert answer.get_json()["status_code"] not in (None, RECOGNISED)
        seen[answer.get_json()["status_code"]] = seen.get(answer.get_json()["status_code"], 0) + 1
    assert {4, 7, 13, 20} <= seen.keys()


_NO_BREAKS = dict.fromkeys(map(ord, "\r\n\0"), " ")


def _mutated(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        span = chance.randrange(1, 20)
        data = chance.choice(
            [
                data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
                data[:at] + data[at + span :],
                data[:at] + data[at : at + span] * 2 + data[at + span :],
                data[:at],
                data[:at]
                + chance.choice([b'"', b"{", b"[", b"\\u", b"\xff", b"\0", b"1e9", b"null"])
                + data[at:],
            ]
        )
    return data


def _changed(fields: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    name = chance.choice(list(fields))
    values: list[Any] = [None, "", 0, -1, 1.5, 10**40, True, [], {}, "签名", "\x7f" * 70, "a" * 5000]
    value = chance.choice(values)
    return fields | {chance.choice([name, name + "x"]): value}
