from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import PictureMissing, RequestMalformed, ServiceError, UsernameMissing
from app.model.claim import Claim
from app.model.reading import ReadOptions, ReadOrder
from app.ports import PictureSource
from app.web.dialects import RequestLimits
from app.web.dialects.fields import MAX_SPACE_BYTES, scan_form, scan_json
from app.web.dialects.own import decode_request

LIMITS = RequestLimits(
    max_body_bytes=1, timeout_ms=30_000, min_timeout_ms=500, max_timeout_ms=60_000, max_side_limit=2560
)
GOOD: dict[str, Any] = {
    "username": "alice",
    "timestamp": 1_800_000_000,
    "nonce": "nonce-0001",
    "sign": "0" * 64,
    "picture_url": "https://example.com/a.png",
}
PICTURE = b"\x89PNG not really"
SENT = {
    "picture_base64": base64.b64encode(PICTURE).decode(),
    "picture_sha256": hashlib.sha256(PICTURE).hexdigest(),
}


def decode(
    fields: dict[str, Any], image: bytes | None = None
) -> tuple[Claim, ReadOrder, PictureSource | None]:
    return decode_request(fields, image, request_id="0" * 32, arrived=1000.0, limits=LIMITS)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


flat = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9_]{1,64}", fullmatch=True),
    st.one_of(
        st.booleans(),
        st.integers(-(10**18) + 1, 10**18 - 1),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    ),
    max_size=32,
)


@given(flat, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_every_flat_object_is_read_as_it_was_written(
    fields: dict[str, Any], ascii_: bool, indent: Any
) -> None:
    text = json.dumps(fields, ensure_ascii=ascii_, indent=indent)
    read = scan_json(text.encode())
    assert read == fields
    assert {name: type(value) for name, value in read.items()} == {
        name: type(value) for name, value in fields.items()
    }


@given(st.binary(max_size=200))
def test_anything_else_is_refused_and_nothing_worse(body: bytes) -> None:
    try:
        scan_json(body)
    except ServiceError as error:
        assert error.http == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"nonce": "a"',
        b'{"nonce": "a',
        b'{"nonce"',
        b'{"nonce": "a",}',
        b'{,"nonce": "a"}',
        b"{} {}",
        b'{"nonce": "a"} x',
        b"[]",
        b'["nonce"]',
        b'"nonce"',
        b"5",
        b"null",
        b"[" * 16_000,
        b'{"a":' * 3_000,
        b'{"timeout_ms": ' + b"9" * 5_000 + b"}",
        b'{"timeout_ms": 01}',
        b'{"timeout_ms": +1}',
        b'{"timeout_ms": 1.0}',
        b'{"timeout_ms": 1e3}',
        b'{"timeout_ms": NaN}',
        b'{"timeout_ms": Infinity}',
        b'{"timeout_ms": truex}',
        b'{"timeout_ms": 12x}',
        b'{"nonce": "a", "nonce": "b"}',
        b'{"nonce": "\\ud800"}',
        b'{"nonce": "\\u0000"}',
        b'{"nonce": "\x00"}',
        b'{"nonce": "\\x41"}',
        b'{"nonce": "a\nb"}',
        b"{'nonce': 'a'}",
        b'{"nonce": "a" /* why */}',
        b'\xef\xbb\xbf{"nonce": "a"}',
        '{"nonce": "a"}'.encode("utf-16"),
        b'{"nonce": "\xff"}',
        b'{"nonce": "\xed\xa0\x80"}',
        "{" + ",".join(f'"f{i}": 1' for i in range(33)) + "}",
    ],
    ids=repr,
)
def test_what_the_strict_parser_refuses(body: bytes | str) -> None:
    with pytest.raises(RequestMalformed):
        scan_json(body.encode() if isinstance(body, str) else body)


@pytest.mark.parametrize("value", ["null", "1.5", "[]", "{}", '["x"]'])
def test_a_value_of_a_wrong_kind_names_its_field(value: str) -> None:
    with pytest.raises(RequestMalformed) as caught:
        scan_json(f'{{"boxes": {value}}}'.encode())
    assert caught.value.field == "boxes"
    with pytest.raises(UsernameMissing):
        scan_json(f'{{"username": {value}}}'.encode())


def test_a_good_request() -> None:
    options = {"boxes": False, "min_score": "0.25", "side_limit": 1280, "charset": "latin", "orient": True}
    claim, order, sent = decode(GOOD | options | {"timeout_ms": 500})
    assert (claim.username, claim.nonce, claim.timestamp) == ("alice", "nonce-0001", 1_800_000_000)
    assert claim.signed_fields["boxes"] == "false"
    assert claim.signed_fields["timeout_ms"] == "500"
    assert "sign" not in claim.signed_fields
    assert not claim.legacy
    read = ReadOptions(False, 0.25, 1280, "latin", True)
    assert order == ReadOrder("https://example.com/a.png", deadline=1000.5, options=read)
    assert sent is None


def test_a_sent_picture() -> None:
    claim, order, sent = decode(without("picture_url") | SENT)
    assert sent is not None
    assert sent() == PICTURE
    assert order.picture_url is None
    assert "picture_base64" not in claim.signed_fields
    assert claim.signed_fields["picture_sha256"] == SENT["picture_sha256"]


def test_a_file_in_a_form() -> None:
    text = {name: str(value) for name, value in without("picture_url").items()}
    text |= {"picture_sha256": SENT["picture_sha256"], "boxes": "true", "orient": "true", "timeout_ms": "800"}
    claim, order, sent = decode(scan_form(text), PICTURE)
    assert sent is not None
    assert sent() == PICTURE
    assert claim.timestamp == 1_800_000_000
    assert order.options.orient
    assert claim.signed_fields == {name: value for name, value in text.items() if name != "sign"}


@pytest.mark.parametrize(
    ("fields", "image", "field"),
    [
        (GOOD | {"username": "a b"}, None, "username"),
        (GOOD | {"username": "a" * 65}, None, "username"),
        (GOOD | {"username": "alice\n"}, None, "username"),
        (GOOD | {"nonce": "short"}, None, "nonce"),
        (GOOD | {"nonce": "n" * 65}, None, "nonce"),
        (GOOD | {"nonce": "nonce 0001"}, None, "nonce"),
        (GOOD | {"timestamp": "1800000000"}, None, "timestamp"),
        (GOOD | {"timestamp": True}, None, "timestamp"),
        (GOOD | {"timestamp": -1}, None, "timestamp"),
        (GOOD | {"timestamp": "١٨٠٠٠٠٠٠٠٠"}, None, "timestamp"),
        (GOOD | {"sign_method": "sha1"}, None, "sign_method"),
        (GOOD | {"picture_url": "https://x/" + "a" * 2039}, None, "picture_url"),
        (GOOD | SENT, None, "picture_url"),
        (GOOD, PICTURE, "picture_url"),
        (without("picture_url") | SENT, PICTURE, "picture_base64"),
        (without("picture_url") | {"picture_base64": SENT["picture_base64"]}, None, "picture_sha256"),
        (without("picture_url") | SENT | {"picture_sha256": "A" * 64}, None, "picture_sha256"),
        (GOOD | {"picture_sha256": "0" * 64}, None, "picture_sha256"),
        (GOOD | {"boxes": "true"}, None, "boxes"),
        (GOOD | {"boxes": 1}, None, "boxes"),
        (GOOD | {"min_score": "1.5"}, None, "min_score"),
        (GOOD | {"min_score": ".5"}, None, "min_score"),
        (GOOD | {"timeout_ms": 499}, None, "timeout_ms"),
        (GOOD | {"timeout_ms": 60_001}, None, "timeout_ms"),
        (GOOD | {"timeout_ms": 0}, None, "timeout_ms"),
        (GOOD | {"side_limit": 63}, None, "side_limit"),
        (GOOD | {"side_limit": 2561}, None, "side_limit"),
        (GOOD | {"charset": "klingon"}, None, "charset"),
        (GOOD | {"charset": "/etc/passwd"}, None, "charset"),
        (GOOD | {"charset": True}, None, "charset"),
        (GOOD | {"orient": "true"}, None, "orient"),
        (GOOD | {"colour": "blue"}, None, "colour"),
    ],
    ids=repr,
)
def test_a_field_of_wrong_form_is_named(fields: dict[str, Any], image: bytes | None, field: str) -> None:
    with pytest.raises(RequestMalformed) as caught:
        decode(fields, image)
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["no base64!", "QUJD\n", "QUI", "\\u0051UJD", "签名"])
def test_base64_is_not_looked_at_before_somebody_asks_for_the_picture(text: str) -> None:
    _, _, sent = decode(without("picture_url") | SENT | {"picture_base64": text})
    assert sent is not None
    with pytest.raises(RequestMalformed) as caught:
        sent()
    assert caught.value.field == "picture_base64"


def test_slashes_may_be_written_as_php_writes_them() -> None:
    picture = b"\xff" * 6
    fields = {"picture_base64": base64.b64encode(picture).decode(), "picture_sha256": "0" * 64}
    body = json.dumps(without("picture_url") | fields).replace("/", "\\/")
    _, _, sent = decode(scan_json(body.encode()))
    assert sent is not None
    assert sent() == picture


MIB = 1024 * 1024


@pytest.mark.alone
@pytest.mark.parametrize(
    "body",
    [
        b" " * 14 * MIB,
        b'{"nonce":' + b" " * 14 * MIB,
        b'{"nonce": "a"' + b"\n" * 14 * MIB + b"}",
        b'{"nonce": "' + b"a" * 14 * MIB + b'"}',
        b'{"nonce": "' + b"\\/" * 7 * MIB + b'"}',
        b'{"nonce": ' + b"9" * 14 * MIB + b"}",
        b'{"picture_base64": "' + b"A" * 14 * MIB,
        b'{"picture_base64": "' + b"\\/" * 7 * MIB + b'"',
        b'{"picture_base64": "' + b"\xff" * 14 * MIB + b'"}',
        b'{"picture_base64": "' + "签".encode() * 4 * MIB + b'", }',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_megabytes_that_nobody_signed_cost_no_more_than_a_copy(body: bytes) -> None:
    """Against what it takes to write down as many bytes, since machines differ."""
    copy = min(timed(lambda: bytes(bytearray(body))) for _ in range(5))

    def refused() -> None:
        with pytest.raises(ServiceError):
            scan_json(body)

    assert min(timed(refused) for _ in range(5)) < 0.005 + 10 * copy


def timed(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


@pytest.mark.parametrize(("spaces", "good"), [(MAX_SPACE_BYTES, True), (MAX_SPACE_BYTES + 1, False)])
def test_white_space_between_tokens_is_bounded(spaces: int, good: bool) -> None:
    for body in (
        '{~"nonce": "a"}',
        '{"nonce"~: "a"}',
        '{"nonce":~"a"}',
        '{"nonce": "a"~}',
        '{"nonce": "a"}~',
    ):
        data = body.replace("~", " " * spaces).encode()
        if good:
            assert scan_json(data) == {"nonce": "a"}
        else:
            with pytest.raises(RequestMalformed):
                scan_json(data)


def test_labels_come_before_forms() -> None:
    with pytest.raises(PictureMissing):
        decode(without("picture_url") | {"timestamp": "soon"})


@pytest.mark.parametrize(
    ("changes", "legacy"),
    [
        ({"sign_method": "md5"}, True),
        ({"timestamp": None, "sign": "0" * 32, "nonce": "7"}, True),
        ({"timestamp": None}, False),
        ({"sign": "0" * 32}, False),
        ({"sign_method": "hmac-sha256", "timestamp": None, "sign": "0" * 32}, False),
    ],
)
def test_the_original_scheme_is_known_by_its_form(changes: dict[str, Any], legacy: bool) -> None:
    fields = {name: value for name, value in (GOOD | changes).items() if value is not None}
    assert decode(fields)[0].legacy is legacy
