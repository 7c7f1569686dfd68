"""Forms that Werkzeug would take seconds for, and those that it must still get."""

from __future__ import annotations

import time

import pytest

from app.errors import RequestMalformed
from app.web.dialects.fields import MAX_FIELDS
from app.web.multipart import MAX_BOUNDARY_CHARS, MAX_HEAD_BYTES, check_parts

MIB = 1024 * 1024
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


@pytest.mark.parametrize(
    "body",
    [
        b"a" * 14 * MIB,
        b"\r\n" * 7 * MIB,
        b"--x\r\nA: " + b"b" * 14 * MIB + b"\r\n\r\n\r\n--x--",
        b"--x\r\n" + b"A: b\r\n" * 2 * MIB + b"\r\n\r\n--x--",
        PART * (MAX_FIELDS + 1) + b"--x--",
        PART * 200_000,
        PART + b"\r\n--xy" * 2 * MIB,
        PART + b"\r--x" * 3 * MIB,
        PART + b"a--x" * 3 * MIB,
        PART,
        b"",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_refused_in_no_time(body: bytes) -> None:
    started = time.thread_time()
    with pytest.raises(RequestMalformed):
        check_parts(body, "x")
    assert time.thread_time() - started < 0.3


@pytest.mark.parametrize("boundary", ["", "x" * (MAX_BOUNDARY_CHARS + 1)])
def test_boundary_out_of_bounds(boundary: str) -> None:
    with pytest.raises(RequestMalformed):
        check_parts(b"--" + boundary.encode() + b"--", boundary)


@pytest.mark.parametrize(
    "body",
    [
        b"--x--",
        b"--x--\r\n" + b"what comes after" * MIB,
        b"before\r\n" + PART + b"\r\n--x--\r\n",
        PART + b"a" * 9 * MIB + b"\r\n--x--\r\n",
        PART + b"\r\n\r\n--x--\r\n",
        (PART + b"\r\n") * MAX_FIELDS + b"--x--",
        b"--x\r\nA: " + b"b" * (MAX_HEAD_BYTES - 20) + b"\r\n\r\n\r\n--x--",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_let_through(body: bytes) -> None:
    check_parts(body, "x")
