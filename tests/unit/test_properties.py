"""What must hold for every input of the protocol, searched for by hypothesis."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.authenticate import UNSIGNED_FIELDS, SignaturePolicy, authenticate, sign, string_to_sign
from app.errors import RequestMalformed, ServiceError, SignWrong
from app.model import Account, OcrRequest
from app.picture.decode import DecodeLimits, decode
from app.picture.header import check_gif, check_jpeg, check_png
from app.picture.url import UrlPolicy
from app.web.body import decode_base64
from app.web.codec import scan_json
from app.web.multipart import check_parts
from tests.fakes import FakeAccounts

NOW = 1_800_000_000
POLICY = SignaturePolicy(max_age_s=300, max_ahead_s=60, legacy_nonce_days=30, longest_request_s=120)
ALICE = Account(1, "alice", ("the secret",))

characters = st.characters(exclude_categories=["Cs"])
names = st.text(st.one_of(st.sampled_from("ab&=%+"), characters), min_size=1, max_size=5)
values = st.text(st.one_of(st.sampled_from("ab&=%+ \n"), characters), max_size=10)
fields = st.dictionaries(names.filter(lambda name: name not in UNSIGNED_FIELDS), values, max_size=5)
magic = st.sampled_from(
    [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\x00", b"MM\x00*", b"BM", b"RIFF1234WEBPVP8X"]
)


@given(fields)
def test_the_string_to_sign_can_be_read_back_so_no_two_requests_share_one(signed: dict[str, str]) -> None:
    text = string_to_sign(signed)
    assert dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))) == signed
    assert text.isascii()


@given(fields, fields)
@example({"a": "1&b=2"}, {"a": "1", "b": "2"})
@example({"a=b": "c"}, {"a": "b=c"})
def test_what_was_signed_is_what_is_let_in(signed: dict[str, str], sent: dict[str, str]) -> None:
    assume(signed != sent)
    asked = OcrRequest(
        request_id="0" * 32, username="alice", nonce="nonce-0001", sign=sign("the secret", signed),
        timestamp=NOW, legacy=False, signed_fields=signed, deadline=0.0,
    )  # fmt: skip
    accounts = FakeAccounts(ALICE)
    assert authenticate(asked, accounts, now=NOW, policy=POLICY) is ALICE
    with pytest.raises(SignWrong):
        authenticate(replace(asked, signed_fields=sent), accounts, now=NOW, policy=POLICY)


@given(st.text(st.sampled_from('{}[]":,\\ \n01-.eatrufls"ub/\x00é'), max_size=40).map(str.encode))
@example(b'{"a":"\\u0041"}')
@example(b'{"a":-0}')
def test_what_the_strict_parser_takes_means_the_same_to_everybody(body: bytes) -> None:
    with suppress(ServiceError):
        read = scan_json(body)
        pairs = json.loads(body, object_pairs_hook=list)
        assert [(name, type(value), value) for name, value in read.items()] == [
            (name, type(value), value) for name, value in pairs
        ]


@given(st.text(st.sampled_from("QUJDabc+/=\\ \n-_é"), max_size=12))
@example("QUJD")
@example("QU\\/=")
def test_base64_means_the_same_to_everybody(text: str) -> None:
    with suppress(RequestMalformed):
        assert decode_base64(text) == base64.b64decode(text.replace("\\/", "/"), validate=True)


@given(st.text(st.sampled_from("x-\r\n:ab"), max_size=80).map(str.encode), st.sampled_from(["x", "x-", ""]))
def test_parts_are_judged_and_nothing_worse(body: bytes, boundary: str) -> None:
    with suppress(RequestMalformed):
        check_parts(body, boundary)


@given(magic, st.binary(max_size=400))
def test_headers_are_judged_and_nothing_worse(start: bytes, rest: bytes) -> None:
    data = start + rest
    with suppress(ServiceError):
        check_jpeg(data, max_scans=100)
    with suppress(ServiceError):
        check_png(data)
    with suppress(ServiceError, IndexError):
        check_gif(data)
    with suppress(ServiceError):
        decode(data, DecodeLimits(1000, 10_000, 1000, 10))


@given(
    st.one_of(
        st.text(max_size=60),
        st.text(st.sampled_from("htp:/@[]#?%.\\127０x。:e "), max_size=30).map("http://".__add__),
    )
)
def test_urls_are_judged_and_nothing_worse(url: str) -> None:
    """What is let through reads the same when it is read again."""
    policy = UrlPolicy(allow_ports={80, 443}, allow_hosts=())
    with suppress(ServiceError):
        target = policy.check(url)
        assert policy.check(target.url) == target
