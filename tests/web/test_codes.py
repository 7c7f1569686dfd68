"""Every status code of the contract, each by a request that a client could send; 17 needs the real server."""

from __future__ import annotations

import io
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from config.settings import ROOT
from tests.picture_host import PictureHost, http
from tests.signing import Caller
from tests.web.conftest import Service

PICTURE = (ROOT / "samples" / "digits.png").read_bytes()
LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["digits.png"]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def host() -> Iterator[PictureHost]:
    with PictureHost({"/digits.png": http(200, PICTURE, "Content-Type: text/html")}) as running:
        yield running


@pytest.fixture(scope="module")
def open_service(make_service: Callable[..., Service], host: PictureHost) -> Service:
    """A service that may fetch from the test's own picture host."""
    return make_service(fetch={"allow_networks": "127.0.0.0/8", "allow_ports": str(host.port)})


@pytest.fixture(scope="module")
def alice(service: Service) -> Caller:
    return service.caller()


NAMELESS = b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\na\r\n'


def check(answer: TestResponse, http_status: int, code: int, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = answer.get_json()
    assert (answer.status_code, body["status_code"]) == (http_status, code), body
    assert answer.content_type == "application/json; charset=utf-8"
    assert answer.headers["X-Request-ID"] == body["request_id"]
    assert {name: body.get(name) for name in more} == more
    if code != 6:
        assert body["result"] is None
        assert "lines" not in body
        assert body["error"]
        assert body["tips"]
    return body


def test_6_recognised(service: Service) -> None:
    caller = service.caller(quota_limit=5)
    body = check(service.post(caller.body(picture=PICTURE)), 200, 6, error=None, model="PP-OCRv6_small")
    assert body["result"].splitlines() == LINES
    assert [line["text"] for line in body["lines"]] == LINES
    assert all(0.5 <= line["score"] <= 1 and len(line["box"]) == 4 for line in body["lines"])
    assert body["picture"]["format"] == "PNG"
    assert body["quota"] == {"limit": 5, "remaining": 4}
    assert set(body["elapsed_ms"]) == {"queue", "fetch", "decode", "ocr", "total"}
    record = service.services.store.tail(1)[0]
    assert (record["request_id"], record["status_code"]) == (body["request_id"], 6)


def test_6_by_url(open_service: Service, host: PictureHost) -> None:
    caller = open_service.caller()
    body = check(open_service.post(caller.body(picture_url=host.url("/digits.png"))), 200, 6)
    assert body["result"].splitlines() == LINES


def test_6_by_form(service: Service, alice: Caller) -> None:
    fields = alice.body(picture=PICTURE, boxes=False)
    del fields["picture_base64"]
    form = {name: str(value).lower() if name == "boxes" else str(value) for name, value in fields.items()}
    data = form | {"image": (io.BytesIO(PICTURE), "../../etc/passwd")}
    body = check(service.app.test_client().post("/ocr", data=data), 200, 6)
    assert body["result"].splitlines() == LINES
    assert all("box" not in line for line in body["lines"])


def test_6_by_the_original_scheme(open_service: Service, host: PictureHost) -> None:
    caller = open_service.caller(allow_legacy_sign=True)
    body = caller.legacy_body(picture_url=host.url("/digits.png"))
    check(open_service.post(body), 200, 6)
    check(open_service.post(body), 409, 9)


def test_6_without_text(service: Service, alice: Caller) -> None:
    from PIL import Image

    blank = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(blank, "PNG")
    check(service.post(alice.body(picture=blank.getvalue())), 200, 6, result="", lines=[])


@pytest.mark.parametrize(
    ("name", "code"), [("username", 0), ("nonce", 1), ("sign", 2), ("picture_base64", 3)]
)
@pytest.mark.parametrize("value", [None, "", 7, True, [], {}, 1.5])
def test_0_to_3_label_missing(service: Service, alice: Caller, name: str, code: int, value: object) -> None:
    body = alice.body(picture=PICTURE)
    if value is None:
        del body[name]
    else:
        body[name] = value
    check(service.post(body), 400, code)


def test_4_sign_wrong_is_one_answer_for_all(service: Service, alice: Caller) -> None:
    good = alice.body(picture=PICTURE)
    other = service.caller()
    wrong = [
        good | {"sign": "0" * 64},
        good | {"sign": good["sign"].upper()},
        good | {"sign": good["sign"][:-1]},
        good | {"sign": "签" * 64},
        good | {"username": "nobody"},
        good | {"username": other.username},
        good | {"nonce": "another-nonce"},
        good | {"boxes": False},
        good | {"picture_sha256": "0" * 64},
        good | {"picture_base64": "QUJD"},
        alice.legacy_body(picture_url="https://example.com/a.png"),
    ]
    answers = [check(service.post(body), 401, 4) for body in wrong]
    assert all(answer | {"request_id": ""} == answers[0] | {"request_id": ""} for answer in answers)


def test_5_ocr_failed_and_is_not_charged(make_service: Callable[..., Service]) -> None:
    """An engine whose models are gone: the failure is ours, and nothing of it is told."""
    service = make_service(engine={"models_dir": "/nowhere/models"})
    caller = service.caller(quota_limit=1)
    answer = service.post(caller.body(picture=PICTURE))
    check(answer, 500, 5)
    assert "/nowhere" not in answer.get_data(as_text=True)
    assert service.services.store.users.list()[0].quota_used == 0


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{} {}", None),
        (b'{"username": "a", "username": "b"}', "username"),
        (b'{"boxes": null}', "boxes"),
        (b"\xff\xfe{\x00}\x00", None),
    ],
)
def test_7_request_malformed(service: Service, data: bytes, field: str | None) -> None:
    answer = service.app.test_client().post("/ocr", data=data, content_type="application/json")
    check(answer, 400, 7, field=field)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"--x\r\ncut", "multipart/form-data; boundary=x"),
        (b"whatever", "multipart/form-data"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--", "multipart/form-data; boundary=x"),
        (NAMELESS * 2 + b"--x--", "multipart/form-data; boundary=x"),
        (NAMELESS.replace(b"filename", b"name") + NAMELESS + b"--x--", "multipart/form-data; boundary=x"),
        (b'{"colour": "' + b"a" * 9000 + b'"}', "application/json"),
    ],
)
def test_7_form_or_value_that_cannot_be_read(service: Service, data: bytes, content_type: str) -> None:
    check(service.app.test_client().post("/ocr", data=data, content_type=content_type), 400, 7)


@pytest.mark.parametrize("timestamp", [None, 0, 10**13])
def test_8_timestamp_expired(service: Service, alice: Caller, timestamp: int | None) -> None:
    check(service.post(alice.body(picture=PICTURE, timestamp=timestamp)), 401, 8)


@pytest.mark.parametrize("off_by_s", [-400, 400])
def test_8_timestamp_too_old_or_ahead(service: Service, alice: Caller, off_by_s: int) -> None:
    check(service.post(alice.body(picture=PICTURE, timestamp=int(time.time()) + off_by_s)), 401, 8)


def test_9_nonce_replayed(service: Service, alice: Caller) -> None:
    body = alice.body(picture=PICTURE)
    check(service.post(body), 200, 6)
    check(service.post(body), 409, 9)


def test_10_user_disabled(service: Service) -> None:
    caller = service.caller()
    service.services.store.users.set_enabled(caller.username, False)
    check(service.post(caller.body(picture=PICTURE)), 403, 10)
    check(service.post(caller.body(picture=PICTURE, sign="0" * 64)), 401, 4)


def test_11_quota_exhausted(service: Service) -> None:
    caller = service.caller(quota_limit=1)
    check(service.post(caller.body(picture=b"no picture")), 422, 16)
    check(service.post(caller.body(picture=PICTURE)), 200, 6)
    check(service.post(caller.body(picture=PICTURE)), 429, 11)


def test_12_rate_limited(make_service: Callable[..., Service]) -> None:
    service = make_service(auth={"rate_per_minute": 1, "rate_burst": 1})
    caller = service.caller()
    check(service.post(caller.body(picture=b"no picture")), 422, 16)
    answer = service.post(caller.body(picture=b"no picture"))
    check(answer, 429, 12)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_12_too_many_wrong_signatures_for_one_name(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(auth={"failures_per_minute": 3})
    caller = service.caller()

    def post(address: str, **fields: str) -> TestResponse:
        body = caller.body(picture=b"no picture", **fields)
        return service.post(body, environ_overrides={"REMOTE_ADDR": address})

    for _ in range(3):
        check(post("192.0.2.1", sign="0" * 64), 401, 4)
    answer = post("192.0.2.1", sign="0" * 64)
    check(answer, 429, 12)
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    check(post("192.0.2.2", sign="0" * 64), 401, 4)
    check(post("192.0.2.1"), 422, 16)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "//example.com/a.png",
        "http://user:pass@example.com/",
        "http://example.com:22/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_13_picture_url_not_allowed(service: Service, alice: Caller, url: str) -> None:
    answer = service.post(alice.body(picture_url=url))
    check(answer, 422, 13)
    assert "127.0.0.1" not in answer.get_data(as_text=True)


def test_14_picture_unreachable(open_service: Service, host: PictureHost) -> None:
    caller = open_service.caller()
    check(open_service.post(caller.body(picture_url=host.url("/none"))), 422, 14, stage="http")


def test_15_picture_too_large(make_service: Callable[..., Service]) -> None:
    service = make_service(limits={"max_picture_pixels": 1000})
    check(service.post(service.caller().body(picture=PICTURE)), 422, 15)


@pytest.mark.parametrize("data", [b"<html>", b"%PDF-1.7", PICTURE[:2000], b"\x89PNG\r\n\x1a\n"])
def test_16_picture_unsupported(service: Service, alice: Caller, data: bytes) -> None:
    check(service.post(alice.body(picture=data)), 422, 16)


def test_18_dependency_unavailable(make_service: Callable[..., Service], tmp_path: Path) -> None:
    service = make_service(state={"busy_timeout_ms": 50})
    caller = service.caller()
    url = service.services.settings.state.database_url
    locker = sqlite3.connect(url.removeprefix("sqlite:///"))
    locker.execute("BEGIN EXCLUSIVE")
    answer = service.post(caller.body(picture=PICTURE))
    locker.close()
    check(answer, 503, 18)
    assert answer.headers["Retry-After"] == "1"
    check(service.post(caller.body(picture=PICTURE)), 200, 6)


def test_19_body_too_large(service: Service) -> None:
    client = service.app.test_client()
    check(client.post("/ocr", data=b" " * (14 * MIB + 1), content_type="application/json"), 413, 19)
    announced = {"CONTENT_LENGTH": str(15 * MIB), "CONTENT_TYPE": "text/plain"}
    check(client.post("/ocr", environ_overrides=announced), 413, 19)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
def test_20_media_type_unsupported(service: Service, headers: dict[str, str]) -> None:
    check(service.app.test_client().post("/ocr", data=b"{}", headers=headers), 415, 20)
