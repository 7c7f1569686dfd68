"""What must hold for every input of the protocol, searched for by hypothesis."""

from __future__ import annotations

import base64
import json
import struct
from contextlib import suppress
from dataclasses import replace
from functools import partial
from urllib.parse import parse_qsl

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.authenticate import UNSIGNED_FIELDS, SignaturePolicy, authenticate, sign, string_to_sign
from app.decode.header import check_bmp, check_gif, check_jpeg, check_png, webp_size
from app.decode.limits import DecodeLimits
from app.decode.pictures import decode
from app.decode.tiff_header import check_tiff
from app.errors import PictureTooLarge, PictureUnsupported, RequestMalformed, ServiceError, SignWrong
from app.fetch.url import UrlPolicy
from app.model.account import Account
from app.model.claim import Claim
from app.web.body import decode_base64
from app.web.dialects.fields import scan_json
from app.web.multipart import check_parts
from tests.fakes import FakeAccounts
from tests.hostile.crafted import chunk, png

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
    asked = Claim(
        request_id="0" * 32, username="alice", nonce="nonce-0001", sign=sign("the secret", signed),
        timestamp=NOW, legacy=False, signed_fields=signed,
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
    for size in (webp_size, check_tiff, check_bmp):
        with suppress(ServiceError):
            size(data)
    with suppress(ServiceError):
        decode(data, DecodeLimits(1000, 10_000, 1000, 10))


# Segments and chunks with right lengths and sums, so that what is behind the first of them is looked at, too.
SCAN = 0xDA
PNG_HEADER = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
JPEG_FRAME = bytes([8, 0, 8, 0, 8, 1, 1, 0x11, 0])
contents = st.one_of(st.binary(max_size=30), st.sampled_from([b"", JPEG_FRAME, PNG_HEADER]))
markers = st.sampled_from([0xC0, 0xC2, 0xC4, SCAN, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE])
segments = st.lists(st.tuples(markers, contents), max_size=12)
kinds = st.sampled_from([b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL"])
chunks = st.lists(st.tuples(kinds, contents), max_size=12)


def jpeg(made_of: list[tuple[int, bytes]]) -> bytes:
    written = [struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in made_of]
    return b"\xff\xd8" + b"".join(written) + b"\xff\xd9"


def png_of(made_of: list[tuple[bytes, bytes]]) -> bytes:
    return png(8, 8, *(chunk(kind, data) for kind, data in made_of), chunk(b"IEND", b""))


@st.composite
def once_well_formed(draw: st.DrawFn) -> bytes:
    """A few of its bytes are others, or it is cut."""
    data = bytearray(draw(st.one_of(segments.map(jpeg), chunks.map(png_of))))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)):
        data[at] = byte
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


@given(once_well_formed())
@pytest.mark.filterwarnings(r"ignore:::PIL\.")
def test_pictures_that_were_well_formed_are_judged_and_nothing_worse(data: bytes) -> None:
    for check in (partial(check_jpeg, max_scans=10), check_png):
        with suppress(ServiceError):
            check(data)
    with suppress(ServiceError):
        decode(data, DecodeLimits(2000, 10_000, 1000, 10))


@given(segments)
def test_scans_are_counted_as_they_were_written(made_of: list[tuple[int, bytes]]) -> None:
    """Not those whose marker only stands in the data of something else."""
    scans = [marker for marker, _ in made_of].count(SCAN)
    if not scans:
        with pytest.raises(PictureUnsupported):
            check_jpeg(jpeg(made_of), max_scans=100)
        return
    check_jpeg(jpeg(made_of), max_scans=scans)
    with pytest.raises(PictureTooLarge):
        check_jpeg(jpeg(made_of), max_scans=scans - 1)


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
