"""GET /usage: a caller's own figures, for the caller alone."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.authenticate import sign
from config.settings import ROOT
from tests.signing import Caller
from tests.web.conftest import Service

PICTURE = (ROOT / "samples" / "digits.png").read_bytes()


@pytest.fixture(scope="module")
def private(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture(scope="module")
def alice(private: Service) -> Caller:
    """Who has sent a picture, and something else."""
    caller = private.caller(quota_limit=10, quota_period="day")
    assert private.post(caller.body(picture=PICTURE)).headers["X-Quota-Remaining"] == "9"
    private.post(caller.body(picture=b"no picture"))
    private.post(private.caller().body(picture=PICTURE))
    return caller


def query(caller: Caller, **fields: Any) -> dict[str, str]:
    made = {
        "username": caller.username,
        "timestamp": int(time.time()),
        "nonce": secrets.token_urlsafe(12),
    } | fields
    text = {name: str(value) for name, value in made.items() if value is not None}
    return {"sign": sign(caller.secret, text)} | text


def get(service: Service, fields: Any) -> TestResponse:
    return service.app.test_client().get("/usage", query_string=fields)


def test_a_caller_learns_its_own_figures(private: Service, alice: Caller) -> None:
    answer = get(private, query(alice))
    body = answer.get_json()

    today = str(datetime.now(UTC).date())
    assert answer.status_code == 200
    assert (body["username"], body["to"], body["request_id"]) == (
        alice.username,
        today,
        answer.headers["X-Request-ID"],
    )
    assert body["quota"] == {"period": "day", "limit": 10, "used": 1, "remaining": 9}
    (day,) = body["days"]
    assert day == {"day": today} | body["total"]
    assert (day["requests"], day["by_code"], day["pictures"]) == (2, {"6": 1, "16": 1}, 1)
    assert day["characters"] > 0
    assert day["p50_ms"] == day["p95_ms"] > 0


def test_days_may_be_chosen(private: Service, alice: Caller) -> None:
    body = get(private, query(alice, **{"from": "2024-02-29", "to": "2024-03-01"})).get_json()
    assert (body["from"], body["to"], body["days"], body["total"]["requests"]) == (
        "2024-02-29",
        "2024-03-01",
        [],
        0,
    )


def test_the_nonce_is_spent(private: Service, alice: Caller) -> None:
    asked = query(alice)
    assert get(private, asked).status_code == 200
    answer = get(private, asked)
    assert (answer.status_code, answer.get_json()["error"]) == (409, "nonce_replayed")


@pytest.mark.parametrize(
    ("changes", "http", "error", "field"),
    [
        ({"username": None}, 400, "username_missing", "username"),
        ({"nonce": None}, 400, "nonce_missing", "nonce"),
        ({"sign": ""}, 400, "sign_missing", "sign"),
        ({"sign": "0" * 64}, 401, "sign_wrong", None),
        ({"username": "nobody"}, 401, "sign_wrong", None),
        ({"timestamp": None}, 401, "timestamp_expired", "timestamp"),
        ({"timestamp": 1_000_000_000}, 401, "timestamp_expired", "timestamp"),
        ({"timestamp": "soon"}, 400, "request_malformed", "timestamp"),
        ({"nonce": "short"}, 400, "request_malformed", "nonce"),
        ({"from": "2026-02-30"}, 400, "request_malformed", "from"),
        ({"to": "tomorrow"}, 400, "request_malformed", "to"),
        ({"to": "9999-12-31"}, 400, "request_malformed", "to"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, 400, "request_malformed", "from"),
        ({"from": "2026-01-01", "to": "2026-04-03"}, 400, "request_malformed", "from"),
        ({"user": "bob"}, 400, "request_malformed", "user"),
        ({"sign_method": "md5"}, 400, "request_malformed", "sign_method"),
        ({"picture_url": "https://example.com/"}, 400, "request_malformed", "picture_url"),
    ],
)
def test_what_is_refused(
    private: Service, alice: Caller, changes: dict[str, Any], http: int, error: str, field: str | None
) -> None:
    signed = {name: value for name, value in changes.items() if name != "sign"}
    asked = query(alice, **signed) | {name: value for name, value in changes.items() if name == "sign"}
    answer = get(private, asked)
    body = answer.get_json()
    assert (answer.status_code, body["error"], body.get("field")) == (http, error, field)


def test_a_field_named_twice_is_refused(private: Service, alice: Caller) -> None:
    asked = [*query(alice, **{"from": "2026-03-01", "to": "2026-03-01"}).items(), ("from", "2026-02-01")]
    assert get(private, asked).get_json()["field"] == "from"


def test_days_changed_after_signing_are_refused(private: Service, alice: Caller) -> None:
    asked = query(alice, to="2026-03-01") | {"to": "2026-03-02"}
    assert get(private, asked).status_code == 401


def test_the_signature_of_a_picture_does_not_open_it(private: Service, alice: Caller) -> None:
    body = alice.body(picture=PICTURE)
    del body["picture_base64"]
    assert get(private, body).get_json()["field"] == "picture_sha256"


def test_wrong_signatures_are_counted_by_address(make_service: Callable[..., Service]) -> None:
    service = make_service(auth={"failures_per_minute": 1})
    caller = service.caller()
    answers = [
        service.app.test_client().get(
            "/usage",
            query_string=query(caller) | {"sign": "0" * 64},
            environ_overrides={"REMOTE_ADDR": "192.0.2.1"},
        )
        for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 429] or answers[1].status_code == 429


def test_an_administrator_may_ask_for_everybody(private: Service, alice: Caller) -> None:
    admin = private.caller(admin=True)
    whole = get(private, query(admin, of="*")).get_json()
    assert (whole["username"], whole["quota"]) == (None, None)
    assert whole["total"]["requests"] >= 3
    [hers] = [user for user in whole["users"] if user["username"] == alice.username]
    assert (hers["requests"], hers["pictures"], hers["quota"]["remaining"]) == (2, 1, 9)
    one = get(private, query(admin, of=alice.username)).get_json()
    assert (one["username"], one["total"]["requests"]) == (alice.username, 2)
    assert get(private, query(admin, of="nobody")).get_json()["field"] == "of"
    private.services.store.users.set_admin(admin.username, False)
    assert get(private, query(admin, of="*")).get_json()["field"] == "of"


@pytest.mark.parametrize("of", ["*", "nobody", "{admin}"])
def test_nobody_else_learns_of_others(private: Service, alice: Caller, of: str) -> None:
    """Nor by the answer whether there is such a user."""
    admin = private.caller(admin=True)
    answer = get(private, query(alice, of=of.format(admin=admin.username)))
    assert (answer.status_code, answer.get_json()["field"]) == (400, "of")
    own = get(private, query(alice, of=alice.username)).get_json()
    assert (own["username"], own["users"]) == (alice.username, None)
