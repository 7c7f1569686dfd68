"""The guarded fetch against a picture host that misbehaves, over real sockets on loopback."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import pytest

from app.errors import Busy, PictureTooLarge, PictureUnreachable, PictureUrlNotAllowed, ServiceError
from app.fetch.connection import MAX_HEAD_BYTES, FetchConnection
from app.fetch.dial import Dialler
from app.fetch.fetcher import GuardedFetcher
from app.fetch.limits import FetchLimits
from app.fetch.url import Target
from tests.picture_host import Answer, PictureHost, SystemClock, endless, http, redirect, silence, slowly

LOOPBACK = ip_network("127.0.0.0/8")
PICTURE = b"the bytes of a picture"
MAX_BYTES = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
IMPATIENT = {"timeout_s": 1.0, "connect_timeout_s": 0.5, "read_timeout_s": 0.4}


def fetcher(host: PictureHost | None = None, **changed: Any) -> GuardedFetcher:
    """Loopback is opened, and the port of `host`, unless the test says otherwise."""
    options: dict[str, Any] = {
        "timeout_s": 10,
        "connect_timeout_s": 5,
        "read_timeout_s": 5,
        "max_redirects": 3,
        "max_picture_bytes": MAX_BYTES,
        "slots": 8,
        "user_share": 0.25,
        "allow_ports": {80, 443, host.port} if host else {80, 443},
        "allow_hosts": (),
        "allow_networks": {LOOPBACK},
    }
    tools = {name: changed.pop(name) for name in ("ca_bundle", "resolver") if name in changed}
    return GuardedFetcher(FetchLimits(**options | changed), clock=SystemClock(), **tools)


def fetch(fetcher: GuardedFetcher, url: str, *, seconds: float = 30.0) -> bytes:
    return fetcher.fetch(url, username="alice", deadline=time.monotonic() + seconds)


def resolver(*answers: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """Gives one answer a look-up, in turn, and the last one ever after."""
    left = list(answers)

    def resolve(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        found = left.pop(0) if len(left) > 1 else left[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    return resolve


def told(error: ServiceError) -> tuple[object, ...]:
    """All that a caller can tell one failure from another by."""
    return type(error), error.field, error.stage, error.retry_after


def failure(answer: Answer, **changed: Any) -> ServiceError:
    with PictureHost({"/picture": answer}) as host, pytest.raises(ServiceError) as caught:
        fetch(fetcher(host, **changed), host.url())
    return caught.value


# The dial


def test_picture() -> None:
    with PictureHost({"/picture?size=1": http(200, PICTURE, "Content-Type: text/html")}) as host:
        assert fetch(fetcher(host), host.url("/picture?size=1#part")) == PICTURE
    head = host.heads[0].decode().lower()
    assert f"host: 127.0.0.1:{host.port}\r\n" in head
    assert "accept-encoding: identity\r\n" in head


@pytest.mark.parametrize("name", ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"])
def test_address_that_is_not_opened(name: str) -> None:
    with PictureHost({"/picture": http(200, PICTURE)}) as host:
        with pytest.raises(PictureUrlNotAllowed):
            fetch(fetcher(host, allow_networks=()), host.url(host=name))
        assert host.connections == 0


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["127.0.0.1", "93.184.216.34"],
        ["93.184.216.34", "127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%lo"],
        [],
    ],
)
def test_blocked_name_looks_unresolvable(answers: list[str]) -> None:
    """Mixed answers included; nothing may be dialled, and nothing may tell the inner network apart."""
    with PictureHost({"/picture": http(200, PICTURE)}) as host:
        guarded = fetcher(host, allow_networks=(), resolver=resolver(answers))
        with pytest.raises(PictureUnreachable) as caught:
            fetch(guarded, host.url(host="inner.example"))
        assert host.connections == 0
    assert told(caught.value) == (PictureUnreachable, None, "dns", None)


def test_localhost_by_the_real_resolver() -> None:
    with PictureHost({"/picture": http(200, PICTURE)}) as host:
        with pytest.raises(PictureUnreachable):
            fetch(fetcher(host, allow_networks=()), host.url(host="localhost"))
        assert host.connections == 0
        assert fetch(fetcher(host), host.url(host="localhost")) == PICTURE


def test_answer_that_changes_between_look_ups() -> None:
    """What was judged is what is dialled, and the next hop is judged again."""
    with PictureHost(
        {"/picture": redirect("/next"), "/next": http(200, PICTURE)}, address="127.0.0.2"
    ) as good:
        inner = PictureHost({"/next": http(200, PICTURE)}, port=good.port)
        with inner, pytest.raises(PictureUnreachable) as caught:
            opened = {ip_network("127.0.0.2/32")}
            guarded = fetcher(good, allow_networks=opened, resolver=resolver(["127.0.0.2"], ["127.0.0.1"]))
            fetch(guarded, good.url(host="turncoat.example"))
        assert (caught.value.stage, good.connections, inner.connections) == ("dns", 1, 0)


def test_peer_that_is_not_the_address_dialled() -> None:
    """Linux dials 0.0.0.0 as 127.0.0.1; whatever turns one address into another is caught like that."""
    with PictureHost({"/picture": http(200, PICTURE)}) as host:
        guarded = fetcher(host, allow_networks={ip_network("0.0.0.0/32")})
        with pytest.raises(PictureUrlNotAllowed):
            fetch(guarded, host.url(host="0.0.0.0"))  # noqa: S104
    assert not any(host.heads)


def test_only_the_judged_host_is_dialled() -> None:
    """Should requests or urllib3 ever read another host out of the URL than we did."""
    dialler = Dialler(frozenset({LOOPBACK}), 1, SystemClock(), resolver(["127.0.0.1"]))
    with PictureHost({}) as host:
        target = Target("http", "one.example", host.port, "/")
        hop = FetchConnection(dialler, target, time.monotonic() + 5, read_timeout_s=1, max_picture_bytes=1)
        for name, port in (("two.example", host.port), ("one.example", host.port + 1)):
            with pytest.raises(PictureUrlNotAllowed):
                hop.dial(name, port)
        assert host.connections == 0
        hop.dial("one.example", host.port).close()


def test_second_address_is_tried() -> None:
    with PictureHost({"/picture": http(200, PICTURE)}) as host:
        guarded = fetcher(host, resolver=resolver(["127.0.0.9", "127.0.0.1"]))
        assert fetch(guarded, host.url(host="two.example")) == PICTURE


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PictureUnreachable) as caught:
        fetch(fetcher(allow_ports={port}), f"http://127.0.0.1:{port}/")
    assert caught.value.stage == "connect"


@pytest.mark.parametrize("port", [22, 6379])
def test_port_that_is_not_allowed(port: int) -> None:
    with pytest.raises(PictureUrlNotAllowed):
        fetch(fetcher(), f"http://127.0.0.1:{port}/")


def test_allowed_hosts_hold_on_every_hop() -> None:
    answers = {"/picture": http(200, PICTURE), "/away": redirect("http://other.example/picture")}
    with PictureHost(answers) as host:
        guarded = fetcher(host, allow_hosts={"Store.example"}, resolver=resolver(["127.0.0.1"]))
        assert fetch(guarded, host.url(host="store.EXAMPLE")) == PICTURE
        for url in (host.url(host="other.example"), host.url("/away", host="store.example")):
            with pytest.raises(PictureUrlNotAllowed):
                fetch(guarded, url)
        assert host.connections == 2


def test_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Neither proxies nor netrc: a proxy would dial for us, and credentials would reach a stranger."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login secret password secret\n")
    with PictureHost({"/picture": http(200, PICTURE, "Set-Cookie: a=b")}) as host, PictureHost({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.setenv("NETRC", str(netrc))
        guarded = fetcher(host)
        assert [fetch(guarded, host.url()) for _ in range(2)] == [PICTURE, PICTURE]
    assert proxy.connections == 0
    assert not any(b"authorization" in head.lower() or b"cookie" in head.lower() for head in host.heads)


# Redirects


def test_three_redirects_and_no_more() -> None:
    answers = {
        f"/{n}": redirect(f"/{n - 1}", status) for n, status in ((1, 301), (2, 303), (3, 307), (4, 308))
    }
    with PictureHost({**answers, "/0": http(200, PICTURE)}) as host:
        assert fetch(fetcher(host), host.url("/3")) == PICTURE
        with pytest.raises(PictureUnreachable) as caught:
            fetch(fetcher(host), host.url("/4"))
    assert caught.value.stage == "redirect"
    assert host.connections == 4 + 4


def test_redirect_loop() -> None:
    assert failure(redirect("/picture")).stage == "redirect"


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/",
            "http://[::1]/",
            "http://2130706433/",
            "//127.1/",
        ),
        *("file:///etc/passwd", "gopher://example.com/", "http://user@example.com/", "http://127.0.0.1:22/"),
    ],
)
def test_redirect_to_what_is_not_allowed(location: str) -> None:
    assert told(failure(redirect(location))) == (PictureUrlNotAllowed, None, None, None)


@pytest.mark.parametrize(
    "answer", [http(302), http(302, b"", "Location: "), http(302, b"", "Location: /\xff"), http(304)]
)
def test_redirect_to_nowhere(answer: bytes) -> None:
    assert isinstance(failure(answer), PictureUnreachable)


def test_body_of_a_redirect_is_not_read() -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n"
    with PictureHost({"/picture": endless(head, bytes(65536)), "/there": http(200, PICTURE)}) as host:
        started = time.monotonic()
        assert fetch(fetcher(host), host.url()) == PICTURE
        assert time.monotonic() - started < 0.9


# Answers


@pytest.mark.parametrize("status", [204, 206, 400, 401, 404, 500, 503])
def test_status_other_than_200(status: int) -> None:
    assert told(failure(http(status, PICTURE))) == (PictureUnreachable, None, "http", None)


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        (http(200), "body"),
        (http(200, PICTURE, length=len(PICTURE) + 1), "body"),
        (http(200, PICTURE, "Content-Length: 5"), "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nab\r\n0\r\n\r\n", "body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "body"),
        (http(200, PICTURE, "Content-Encoding: br"), "body"),
        (http(200, PICTURE, "Content-Encoding: deflate"), "body"),
        (http(200, gzip.compress(PICTURE), "Content-Encoding: gzip, gzip"), "body"),
        (http(200, PICTURE, "Content-Encoding: gzip"), "body"),
        (b"", "http"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "http"),
        (b"HTTP/1.1 two hundred\r\n\r\n", "http"),
        (OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n", "http"),
        (OK + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"\r\n", "http"),
        (endless(OK, b"X: a\r\n" * 1000), "http"),
        (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "http"),
        (endless(OK + b"X: ", b"a" * 65536), "http"),
        (silence, "timeout"),
        (slowly(OK + b"X: " + b"a" * 100, every_s=0.05), "timeout"),
        (slowly(OK + b"Content-Length: 9\r\n\r\n" + b"a" * 100, every_s=0.2), "timeout"),
        (endless(OK + b"Content-Length: 9\r\n\r\n", b""), "timeout"),
    ],
)  # fmt: skip
def test_answer_that_is_no_picture(answer: Answer, stage: str) -> None:
    started = time.monotonic()
    error = failure(answer, **(IMPATIENT if stage == "timeout" else {}))
    assert time.monotonic() - started < 5
    assert told(error) == (PictureUnreachable, None, stage, None), error.detail


def test_one_byte_in_a_while_within_a_chunk() -> None:
    """No single read is slow, and the reader asks for the whole chunk at once."""
    answer = slowly(b"%x\r\n" % 5000 + b"a" * 5000, every_s=0.05)

    def send(connection: socket.socket) -> None:
        connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        answer(connection)  # type: ignore[operator]

    started = time.monotonic()
    assert failure(send, **IMPATIENT).stage == "timeout"
    assert time.monotonic() - started < 3


def test_deadline_of_the_request_is_the_shorter_one() -> None:
    with PictureHost({"/picture": silence}) as host:
        guarded = fetcher(host, timeout_s=30, read_timeout_s=20)
        started = time.monotonic()
        with pytest.raises(PictureUnreachable) as caught:
            fetch(guarded, host.url(), seconds=0.3)
        assert caught.value.stage == "timeout"
        assert time.monotonic() - started < 5
        with pytest.raises(PictureUnreachable):
            fetch(guarded, host.url(), seconds=-1)
    assert host.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        http(200, bytes(MAX_BYTES + 1)),
        http(200, b"", length=10**15),
        endless(OK + b"\r\n", bytes(65536)),
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"),
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60000 + b"\r\n"),
        http(200, gzip.compress(bytes(200 * MAX_BYTES), 1), "Content-Encoding: gzip"),
        endless(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 1000),
    ],
    ids=[
        "body",
        "announced",
        "endless",
        "endless chunks",
        "endless chunk size",
        "gzip bomb",
        "endless gzip of nothing",
    ],
)
def test_too_large_with_memory_flat(answer: Answer) -> None:
    with PictureHost({"/picture": answer}) as host:
        guarded = fetcher(host, timeout_s=20)
        tracemalloc.start()
        try:
            with pytest.raises((PictureTooLarge, PictureUnreachable)) as caught:
                fetch(guarded, host.url())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 6 * MAX_BYTES
    assert caught.type is PictureTooLarge or caught.value.stage == "body"


def test_announced_size_is_believed_when_too_large() -> None:
    assert isinstance(failure(http(200, b"", length=MAX_BYTES + 1)), PictureTooLarge)


def test_largest_picture() -> None:
    body = bytes(range(256)) * (MAX_BYTES // 256)
    chunks = b"".join(b"400\r\n" + body[at : at + 1024] + b"\r\n" for at in range(0, MAX_BYTES, 1024))
    answers = {
        "/plain": http(200, body),
        "/gzip": http(200, gzip.compress(body), "Content-Encoding: GZIP"),
        "/chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        "/until-close": b"HTTP/1.0 200 OK\r\n\r\n" + body,
    }
    with PictureHost(answers) as host:
        guarded = fetcher(host, timeout_s=20)
        assert all(fetch(guarded, host.url(path)) == body for path in answers)


def test_largest_head() -> None:
    lines = b"".join(b"X-%d: " % n + b"a" * 1000 + b"\r\n" for n in range(MAX_HEAD_BYTES // 1024))
    with PictureHost({"/picture": OK + lines[:-2000] + b"\r\nContent-Length: 1\r\n\r\na"}) as host:
        assert fetch(fetcher(host), host.url()) == b"a"


def test_connections_are_not_kept() -> None:
    with PictureHost({"/picture": http(200, PICTURE, "Connection: keep-alive")}) as host:
        guarded = fetcher(host)
        for _ in range(3):
            fetch(guarded, host.url())
    assert host.connections == 3


def test_no_query_string_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    answers = {"/picture?token=SECRET": OK + b"no colon here\r\nContent-Length: 1\r\n\r\na"}
    with (
        caplog.at_level(logging.INFO),
        PictureHost(answers) as host,
        pytest.raises(PictureUnreachable) as caught,
    ):
        fetch(fetcher(host), host.url("/picture?token=SECRET"))
    assert "SECRET" not in caplog.text + caught.value.detail


def test_a_hundred_at_once_each_gets_its_own() -> None:
    answers = {f"/{n}": http(200, b"%d" % n) for n in range(100)}
    with PictureHost(answers) as host:
        guarded = fetcher(host, slots=400, timeout_s=20, read_timeout_s=10)
        found: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=lambda n=n: found.update({n: fetch(guarded, host.url(f"/{n}"))}))
            for n in range(100)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {n: b"%d" % n for n in range(100)}


# Slots


def test_a_slot_is_waited_for() -> None:
    """A burst of one user's is served, its share at a time."""
    host = PictureHost({"/picture": slowly(http(200, b"abc"), every_s=0.002)})
    with host, ThreadPoolExecutor(12) as pool:
        guarded = fetcher(host, slots=8, timeout_s=20, read_timeout_s=10)
        assert set(pool.map(lambda _: fetch(guarded, host.url()), range(12))) == {b"abc"}


def test_slow_hosts_of_one_user_leave_room() -> None:
    with PictureHost({"/slow": silence, "/picture": http(200, PICTURE)}) as host:
        guarded = fetcher(host, slots=4, read_timeout_s=2)

        def wait_in_vain() -> None:
            with pytest.raises(PictureUnreachable):
                fetch(guarded, host.url("/slow"))

        slow = threading.Thread(target=wait_in_vain)
        slow.start()
        while not host.connections:
            time.sleep(0.005)
        with pytest.raises(Busy):
            guarded.fetch(host.url(), username="alice", deadline=time.monotonic() + 0.1)
        assert guarded.fetch(host.url(), username="bob", deadline=time.monotonic() + 5) == PICTURE
        slow.join()
        assert fetch(guarded, host.url()) == PICTURE


# The service's own listener


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:80", "0.0.0.0:80", ":80", "[::]:80", "[::1]:80", "localhost:80", "unix:/run/ocr"]
)
def test_own_listener_is_out_of_reach(bind: str) -> None:
    fetcher(allow_networks=()).check_refuses(bind)


@pytest.mark.parametrize("bind", ["127.0.0.1:80", "0.0.0.0:80", "localhost:80"])
def test_own_listener_in_an_opened_network(bind: str) -> None:
    """There the port is what keeps it out, and 80 does not."""
    with pytest.raises(RuntimeError, match="OCR_FETCH__ALLOW_NETWORKS"):
        fetcher().check_refuses(bind)
    fetcher(allow_ports={8080}).check_refuses(bind)


def test_own_listener_is_judged_apart_from_its_port() -> None:
    """A guard that lets the address through is refused although its port is not allowed today."""
    with pytest.raises(RuntimeError, match="could reach this service at"):
        fetcher(allow_networks=(), resolver=resolver(["93.184.216.34"])).check_refuses("ocr.example:8081")
