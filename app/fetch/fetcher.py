"""Download a picture from an untrusted URL, with limits on addresses, time and size, one redirect at a time.

It uses requests' adapter without a Session, which would follow redirects, read their bodies, keep cookies,
and use netrc and the environment's proxies.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from gevent import Timeout
from gevent.monkey import is_module_patched
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from app.errors import PictureTooLarge, PictureUnreachable, ServiceError
from app.fetch.address import is_open, parse_address
from app.fetch.connection import BoundedResponse, FetchConnection
from app.fetch.dial import Dialler, Resolver, seconds_left
from app.fetch.limits import FetchLimits
from app.fetch.url import Target, UrlPolicy
from app.limits.shares import UserShares
from app.ports import Clock

REDIRECTS = frozenset({301, 302, 303, 307, 308})
ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip"})
HEADERS = {
    "User-Agent": "ocr-picture-fetcher",
    "Accept": "image/*, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
READ_BYTES = 64 * 1024

_TIMEOUTS = (requests.Timeout, ReadTimeoutError, TimeoutError)
# ValueError: http.client and urllib3 raise it for some hostile responses, such as a chunk of -5 bytes.
_FAILURES = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)


class GuardedFetcher:
    """Implements `app.ports.Fetcher`. Safe for greenlets and threads; keeps no state between calls.

    Every read of the socket respects the deadline. Under gevent, a timer also limits DNS look-ups, which
    threads cannot interrupt. ca_bundle: trusted instead of certifi's. resolver: like socket.getaddrinfo.
    """

    def __init__(
        self,
        limits: FetchLimits,
        *,
        clock: Clock,
        ca_bundle: Path | None = None,
        resolver: Resolver = socket.getaddrinfo,
    ) -> None:
        self._limits = limits
        self._policy = UrlPolicy(allow_ports=limits.allow_ports, allow_hosts=limits.allow_hosts)
        self._dialler = Dialler(limits.allow_networks, limits.connect_timeout_s, clock, resolver)
        self._slots = UserShares(limits.slots, limits.user_share, clock, what="download slot")
        self._clock = clock
        self._tls = ssl.create_default_context(cafile=str(ca_bundle or DEFAULT_CA_BUNDLE_PATH))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def fetch(self, url: str, *, username: str, deadline: float) -> bytes:
        target = self._policy.check(url)
        deadline = min(deadline, self._clock.monotonic() + self._limits.timeout_s)
        with self._slots.hold(username, deadline):
            left = seconds_left(self._clock, deadline)
            # gevent's Timeout is a BaseException, so urllib3 does not handle it as one of its own time-outs.
            timer = Timeout(left if is_module_patched("socket") else None)
            try:
                with timer:
                    return self._follow(target, deadline)
            except Timeout as expired:
                if expired is not timer:
                    raise
                raise PictureUnreachable(f"{target.host}: over {left:.1f} s", stage="timeout") from None

    def check_refuses(self, bind: str) -> None:
        """Raise RuntimeError if a picture URL could reach the service's own listener.

        bind: in gunicorn's form. The address must be refused whatever its port, because the permitted ports
        may change. Only in a network that the operator has opened is the port enough to refuse it.
        """
        host, _, port_text = bind.rpartition(":")
        if bind.startswith("unix:") or not port_text.isdigit():
            return
        port, host = int(port_text), host.strip("[]")
        address = parse_address(host)
        everywhere = not host or (address is not None and address.is_unspecified)
        for own in ("127.0.0.1", "::1", "localhost", socket.gethostname()) if everywhere else (host,):
            if self._reaches(own, port):
                raise RuntimeError(
                    f"picture URLs could reach this service at {own} port {port}:"
                    " narrow OCR_FETCH__ALLOW_NETWORKS or OCR_FETCH__ALLOW_PORTS"
                )

    def _reaches(self, own: str, port: int) -> bool:
        try:
            addresses = self._dialler.resolve_permitted(own, port)
        except ServiceError:
            return False
        opened = all(is_open(address, self._dialler.allow_networks) for address in addresses)
        return not opened or port in self._limits.allow_ports

    def _follow(self, target: Target, deadline: float) -> bytes:
        for _ in range(self._limits.max_redirects + 1):
            with self._answer(target, deadline) as response:
                if response.status_code not in REDIRECTS:
                    return self._body(response)
                location = response.headers.get("location", "")
            target = self._next(target, location)
        raise PictureUnreachable(f"more than {self._limits.max_redirects} redirects", stage="redirect")

    def _next(self, target: Target, location: str) -> Target:
        """The target of a redirect, checked like a request's URL. Raises as UrlPolicy, PictureUnreachable."""
        try:
            url = urljoin(target.url, location.encode("latin-1").decode("utf-8")) if location else ""
        except ValueError:
            url = ""
        if not url:
            raise PictureUnreachable(f"{target.host}: no usable Location", stage="redirect")
        following = self._policy.check(url)
        if (target.scheme, following.scheme) == ("https", "http"):
            raise PictureUnreachable(f"{target.host}: from https to http", stage="redirect")
        return following

    @contextmanager
    def _answer(self, target: Target, deadline: float) -> Iterator[requests.Response]:
        """The response's head, with its body unread. Errors inside are raised with the connection's stage."""
        connection = FetchConnection(
            self._dialler, target, deadline, self._limits.read_timeout_s, self._limits.max_picture_bytes
        )
        adapter = _OneHop(connection, self._tls)
        try:
            request = requests.Request("GET", target.url, headers=HEADERS).prepare()
            timeout = (self._dialler.connect_timeout_s, self._limits.read_timeout_s)
            response = adapter.send(request, stream=True, timeout=timeout, proxies={})
            yield response
        except _TIMEOUTS as error:
            raise PictureUnreachable(f"{target.host}: {_reason(error)}", stage="timeout") from None
        except _FAILURES as error:
            raise PictureUnreachable(f"{target.host}: {_reason(error)}", stage=connection.stage) from None
        finally:
            adapter.close()

    def _body(self, response: requests.Response) -> bytes:
        """The body of a 200 response, decoded before its size is limited: 10 kB of gzip can hold 10 MB."""
        if response.status_code != 200:
            raise PictureUnreachable(f"status {response.status_code}", stage="http")
        encoding = response.headers.get("content-encoding", "").lower()
        if encoding not in ENCODINGS:
            raise PictureUnreachable(f"content encoding {encoding!r:.60}", stage="body")
        if (response.raw.length_remaining or 0) > self._limits.max_picture_bytes:
            raise PictureTooLarge(f"{response.raw.length_remaining} bytes announced")
        body = bytearray()  # not a list of parts: a host may send millions of one-byte parts
        for part in response.raw.stream(READ_BYTES, decode_content=True):
            body += part
            if len(body) > self._limits.max_picture_bytes:
                raise PictureTooLarge(f"over {self._limits.max_picture_bytes} bytes")
        if not body:
            raise PictureUnreachable("empty body", stage="body")
        return bytes(body)


class _GuardedHttp(HTTPConnection):
    def __init__(self, *args: Any, connection: FetchConnection, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connection = connection
        connection.opened.append(self)

    def _new_conn(self) -> socket.socket:
        # urllib3 uses host and port, not the dialled address, for SNI, certificate and Host header.
        return self._connection.dial(self._dns_host, self.port)

    def connect(self) -> None:
        super().connect()
        self._connection.stage = "http"

    def response_class(self, sock: socket.socket, **options: Any) -> HTTPResponse:  # type: ignore[override]
        return BoundedResponse(self._connection, sock, **options)


class _GuardedHttps(_GuardedHttp, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHttp


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHttps


class _OneHop(HTTPAdapter):
    """An adapter for one request: opens its connection through the guard, and closes it with itself."""

    def __init__(self, connection: FetchConnection, tls: ssl.SSLContext) -> None:
        self._connection = connection
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        pool.conn_kw["connection"] = self._connection
        return pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to do: the shared context verifies. requests would load a CA bundle for each redirect."""

    def close(self) -> None:
        for opened in reversed(self._connection.opened):
            opened.close()
        super().close()


def _reason(error: BaseException) -> str:
    """The cause, for the log. urllib3's MaxRetryError contains the whole URL, whose query may be secret."""
    inner = getattr(error.args[0] if error.args else None, "reason", None)
    return f"{inner if isinstance(inner, BaseException) else error!r:.300}"
