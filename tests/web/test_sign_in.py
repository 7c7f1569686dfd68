"""POST /sign-in: a one-time code for a secret, and what else may be asked of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.signing import Caller
from tests.web.conftest import Service

STRANGER = "203.0.113.9"
WRONG = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def service(make_service: Callable[..., Service]) -> Service:
    return make_service(auth={"failures_per_minute": 3})


@pytest.fixture
def caller(service: Service) -> Caller:
    return service.caller()


@pytest.fixture
def code(service: Service, caller: Caller) -> str:
    return service.services.codes.issue(caller.username)


def sign_in(
    service: Service, username: str, code: str, *, address: str = "127.0.0.1", **headers: str
) -> TestResponse:
    origin = {"REMOTE_ADDR": address}
    fields = {"username": username, "code": code}
    return service.app.test_client().post("/sign-in", json=fields, headers=headers, environ_overrides=origin)


def test_a_code_is_good_for_one_answer(service: Service, caller: Caller, code: str) -> None:
    answer = sign_in(service, caller.username, code)
    body = answer.get_json()
    assert answer.status_code == 200
    assert body == {
        "error": None,
        "username": caller.username,
        "secret": caller.secret,
        "request_id": answer.headers["X-Request-ID"],
    }
    again = sign_in(service, caller.username, code)
    assert (again.status_code, again.get_json()["error"]) == (401, "sign_wrong")
    assert {one.headers["Cache-Control"] for one in (answer, again)} == {"no-store"}


def test_another_users_code_stays_as_it_is(service: Service, caller: Caller, code: str) -> None:
    """The page has asked about the user whom the link names; no other one may come of it."""
    other = service.caller()
    assert sign_in(service, other.username, code).status_code == 401
    assert sign_in(service, "nobody", code).status_code == 401
    assert sign_in(service, caller.username, code).status_code == 200


def test_a_disabled_user_gets_nothing(service: Service, caller: Caller, code: str) -> None:
    service.services.store.users.set_enabled(caller.username, False)
    answer = sign_in(service, caller.username, code)
    assert (answer.status_code, answer.get_json()["error"]) == (403, "user_disabled")
    assert caller.secret not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://localhost:8082"}, 400),
        ({"Origin": "http://localhost.example.com"}, 400),
        ({"Origin": "https://example.com"}, 400),
        ({"Origin": "null"}, 400),
        ({"Origin": "http://[localhost"}, 400),
        ({"Origin": "http://localhost/"}, 400),
        ({"Sec-Fetch-Site": "same-site"}, 400),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, 400),
        ({"Sec-Fetch-Site": "none"}, 400),
    ],
)
def test_pages_of_other_sites_are_refused(
    service: Service, caller: Caller, code: str, headers: dict[str, str], status: int
) -> None:
    answer = sign_in(service, caller.username, code, **headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.get_json()["field"] == "Origin"
        assert sign_in(service, caller.username, code).status_code == 200


@pytest.mark.parametrize(
    ("body", "type_", "status"),
    [
        ("username=a&code=b", "application/x-www-form-urlencoded", 415),
        (json.dumps({"username": "a", "code": WRONG}), "text/plain", 415),
        ("{}", "application/json", 400),
        ("[]", "application/json", 400),
        (json.dumps({"username": "a"}), "application/json", 400),
        (json.dumps({"username": "a", "code": WRONG.upper()}), "application/json", 400),
        (json.dumps({"username": "a", "code": WRONG + "\n"}), "application/json", 400),
        (json.dumps({"username": "a ", "code": WRONG}), "application/json", 400),
        (json.dumps({"username": "a", "code": 5}), "application/json", 400),
        (json.dumps({"username": "a", "code": WRONG, "more": 1}), "application/json", 400),
        ('{"username": "a", "code": "x", "code": "y"}', "application/json", 400),
        (" " * 2000 + "{}", "application/json", 413),
    ],
)
def test_anything_but_the_two_fields_is_refused(service: Service, body: str, type_: str, status: int) -> None:
    answer = service.app.test_client().post("/sign-in", data=body, content_type=type_)
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"


def test_who_guesses_has_to_wait_and_writes_nothing(service: Service, caller: Caller, code: str) -> None:
    database = service.services.store.database

    with database.read() as watching:

        def commits() -> Any:
            """Another number once another connection has written."""
            return watching.exec_driver_sql("PRAGMA data_version").scalar()

        before = commits()
        statuses = [sign_in(service, caller.username, WRONG, address=STRANGER).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert commits() == before
        assert sign_in(service, caller.username, code).status_code == 200
        assert commits() != before
