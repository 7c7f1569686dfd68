"""Answers of picture hosts whose body could end at different places for different readers (RFC 9112, 6)."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pytest

from app.errors import PictureUnreachable
from app.fetch.fetcher import GuardedFetcher
from app.fetch.framing import MAX_CHUNKS
from config.settings import ROOT
from tests.picture_host import PictureHost
from tests.unit.test_fetch_guard import OK, PICTURE, failure, fetch, fetcher, told

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"

LENGTHS = (
    *("+5", "-0", "5_0", "0x5", "5.0", "5e0", "5, 5", "5,5", "5;", "'5'", "", "five", "5 0", "9" * 19),
    *("\u0665", "\uff15", "\u00b2", "\u00a05", "5\u0085", "\x0b5", "5\x0c", "\x1f5"),
)
CODINGS = (b"chunked, chunked", b"gzip, chunked", b"identity", b"xchunked", b"\x0bchunked", b"")
SIZES = (
    *(b"+3", b"0x3", b"0_3", b"3_0", b" 3", b"3 3", b"", b"-3", b"3" * 16),
    *(b"\xd9\xa3", b"3\r", b"\x0b3"),
)
STATUS = (b"+200", b"2_00", b"0200", "\u0662\u0660\u0660".encode())


def with_length(value: str, *more: str) -> bytes:
    head = "\r\n".join(("HTTP/1.1 200 OK", f"Content-Length:{value}", *more))
    return head.encode() + b"\r\n\r\nabcde"


@pytest.mark.parametrize(
    "answer",
    [
        *map(with_length, LENGTHS),
        with_length(" 5", "Content-Length: 5"),
        with_length(" 5", "Content-Length: 6"),
        with_length(" 5", "Content-length: five"),
        with_length(" 1\r\n 5"),
        with_length(" 5", "Transfer-Encoding: chunked"),
        with_length(" 5", "Transfer-Encoding: identity"),
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        *(WHOLE.replace(b"chunked", coding) for coding in CODINGS),
        WHOLE.replace(b"chunked", b"chunked\r\nTransfer-Encoding: chunked"),
        *(CHUNKED + size + b"\r\nabc\r\n0\r\n\r\n" for size in SIZES),
        CHUNKED + b"3\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabc0\r\n\r\n",
        CHUNKED + b"3\r\nabcXX0\r\n\r\n",
        CHUNKED + b"3\r\nabc\n0\r\n\r\n",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nX: a\n\r\n",
        CHUNKED + b"1\r\na\r\n" * (MAX_CHUNKS + 1) + b"0\r\n\r\n",
    ],
)
def test_body_that_readers_may_take_differently(answer: bytes) -> None:
    error = failure(answer, timeout_s=60)
    assert told(error) == (PictureUnreachable, None, "body", None), error.detail


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"X: a\rContent-Length: 1\r\n\r\nabcde",
        OK + b"X: a\0\r\nContent-Length: 5\r\n\r\nabcde",
        OK + b"Content-Length : 5\r\n\r\nabcde",
        OK + b"Content-Length\x0b: 5\r\n\r\nabcde",
        *(b"HTTP/1.1 " + status + b" OK\r\n\r\nabcde" for status in STATUS),
        b"HTTP/1.1\t200 OK\r\n\r\nabcde",
    ],
)
def test_head_that_readers_may_take_differently(answer: bytes) -> None:
    error = failure(answer)
    assert told(error) == (PictureUnreachable, None, "http", None), error.detail


@pytest.mark.parametrize(
    "answer",
    [
        *map(with_length, ("5", " 5", "\t 5 \t", "005")),
        CHUNKED + b"2;name=value\r\nab\r\n003 ;x\r\ncde\r\n0\r\nX: a\r\n\r\n",
        WHOLE.replace(b": chunked", b":Chunked \t").replace(b"3\r\nabc", b"5\r\nabcde"),
        b"HTTP/1.0 200\nContent-Length: 5\n\nabcde",
        b"HTTP/1.1 200 OK\r\n\r\nabcde",
    ],
)
def test_body_that_all_readers_take_alike(answer: bytes) -> None:
    with PictureHost({"/picture": answer}) as host:
        assert fetch(fetcher(host), host.url()) == b"abcde"


def test_chunks_of_a_gzip() -> None:
    packed = gzip.compress(PICTURE)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    answer = OK + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n" + body
    with PictureHost({"/picture": answer}) as host:
        assert fetch(fetcher(host), host.url()) == PICTURE


LOOP = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
sys.path.insert(0, sys.argv[1])
from tests.unit.test_framing import fetch, fetcher_of
longest = 0.0
def watch():
    global longest
    while True:
        started = time.process_time()
        gevent.sleep(0.001)
        longest = max(longest, time.process_time() - started)
fetcher = fetcher_of(int(sys.argv[2]))
gevent.spawn(watch)
gevent.sleep(0.1)
longest = 0.0
body = fetch(fetcher, f"http://127.0.0.1:{sys.argv[2]}/picture")
gevent.sleep(0.01)
print(len(body), longest)
"""


def fetcher_of(port: int) -> GuardedFetcher:
    return fetcher(allow_ports={port})


def test_many_chunks_do_not_stop_the_loop() -> None:
    """In a process of its own, so that gevent finds the whole answer there and nothing to wait for."""
    answer = CHUNKED + b"1\r\na\r\n" * (MAX_CHUNKS - 1) + b"0\r\n\r\n"
    with PictureHost({"/picture": answer}) as host:
        command = [sys.executable, "-c", LOOP, str(ROOT), str(host.port)]
        shown = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout
    size, longest_s = shown.split()
    assert int(size) == MAX_CHUNKS - 1
    assert float(longest_s) < 0.05
