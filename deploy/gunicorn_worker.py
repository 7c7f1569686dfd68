"""The worker class in gunicorn.py: gunicorn's gevent worker, with limits on idle clients.

It is not in app/, because app/ does not import gunicorn. The master imports it before gevent patches
anything, so it imports no module of the service.
"""

from __future__ import annotations

import errno
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from ssl import SSLSocket
from time import monotonic

import gevent
from gevent import socket
from gunicorn.http.body import ChunkedReader
from gunicorn.workers.ggevent import GeventWorker

ROOM = 0.8
"""Share of worker_connections at which silent clients are disconnected. The rest is for connections that are
being accepted or closed: gunicorn accepts none when the pool is full."""

DISCONNECTED_AT_ONCE = 0.1
"""Share of that room that is freed each time."""

CROWDED = 0.5
"""Share of that room above which a request's body must arrive before the service handles the request."""

BODY_AWAITED_S = 5
BODY_AWAITED_BYTES = 64 * 1024
LAST_CHUNK = b"\r\n\r\n"

STOPPING_SILENCE_S = 5
"""Seconds of silence after which a client is disconnected while the worker stops."""

DRAIN_S = 5
DRAIN_BYTES = 64 * 1024
DRAIN_READS = 512  # 32 MiB
DRAIN_PAUSE_S = 0.001  # gevent's sleep(0) does not poll sockets


class Client(socket.socket):
    """A connection to a client.

    silent_since: start of the wait for the client to send or to receive, in seconds of the monotonic clock;
    None while the service works. subscriber: the IPv4 address or the IPv6 /64 network.
    """

    silent_since = None
    subscriber = ""

    def recv(self, *args):
        return self._waiting(super().recv, *args)

    def send(self, *args, **options):
        return self._waiting(super().send, *args, **options)

    def sendall(self, *args):
        """Calls send repeatedly, so that a slow client does not count as silent."""
        return self._waiting(super().sendall, *args)

    def _waiting(self, call, *args, **options):
        self.silent_since = monotonic()
        try:
            return call(*args, **options)
        except (BlockingIOError, TimeoutError):
            raise
        except OSError as error:  # gunicorn would log a traceback for most other errors
            raise ConnectionResetError(errno.ECONNRESET, str(error)) from error
        finally:
            self.silent_since = None

    def disconnect(self):
        """Shut the connection down, so that the client's greenlet gets an error wherever it waits."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def drain(self):
        """End the response, then discard what the client still sends. Closing a socket with unread bytes
        resets the connection, and the client may lose the response (RFC 9112, section 9.6).
        """
        with suppress(OSError), gevent.Timeout(DRAIN_S, False):
            self.shutdown(socket.SHUT_WR)
            for _ in range(DRAIN_READS):
                if not self.recv(DRAIN_BYTES):
                    return
                gevent.sleep(DRAIN_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Listener:
    """The part of a listener that gunicorn uses while it serves a client."""

    name: object

    def getsockname(self):
        return self.name


class BoundedWorker(GeventWorker):
    """Keeps room for clients that send requests, however many idle clients connect.

    Near the limit of connections, it disconnects the clients of the address with the most connections that
    have been silent longest. It closes a connection after a request whose body was not read completely,
    because the start of the next request is unknown.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._room = max(1, int(self.worker_connections * ROOM))
        self._clients = set()
        self._names = {}

    def patch(self):
        super().patch()
        self._names = {listener: listener.getsockname() for listener in self.sockets}

    def notify(self):
        """Called every second. Disconnects silent clients while the worker stops."""
        super().notify()
        if not self.alive:
            before = monotonic() - STOPPING_SILENCE_S
            for client in [c for c in self._clients if c.silent_since and c.silent_since < before]:
                self._disconnect(client)

    def handle(self, listener, client, addr):
        # A stopping worker closes its listener before it serves the clients that it has just accepted.
        listener = Listener(self._names[listener])
        if isinstance(client, SSLSocket):
            super().handle(listener, client, addr)
            return
        client = Client(client.family, client.type, client.proto, fileno=client.detach())
        client.subscriber = _subscriber(addr)
        self._make_room()
        self._clients.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._clients.discard(client)

    def handle_request(self, listener_name, req, sock, addr):
        should_close = req.should_close
        req.should_close = lambda: should_close() or _unread(req.body)
        ours = isinstance(sock, Client)
        if ours and len(self._clients) > self._room * CROWDED and _unread(req.body):
            self._await_body(req, sock)
        try:
            super().handle_request(listener_name, req, sock, addr)
            return
        except StopIteration:
            drains = ours and _unread(req.body)
        finally:
            del req.should_close  # breaks a cycle that would keep the body until garbage collection
        if drains:
            req.body = None  # frees the buffered part
            sock.drain()
        raise StopIteration

    def _await_body(self, req, client):
        """Wait for the body before the service handles the request; meanwhile the client counts as silent.

        The received bytes are put back unparsed.
        """
        wanted = min(getattr(req.body.reader, "length", BODY_AWAITED_BYTES), BODY_AWAITED_BYTES)
        chunked = isinstance(req.body.reader, ChunkedReader)
        arrived = bytearray()
        try:
            with gevent.Timeout(BODY_AWAITED_S, False):
                while len(arrived) < wanted and not (chunked and arrived.endswith(LAST_CHUNK)):
                    if not (data := req.unreader.read()):
                        break
                    arrived += data
        finally:
            req.unreader.unread(bytes(arrived))
        if client not in self._clients:
            raise ConnectionResetError(errno.ECONNRESET, "disconnected")

    def _make_room(self):
        if len(self._clients) < self._room:
            return
        held = Counter(client.subscriber for client in self._clients)
        silent = [client for client in self._clients if client.silent_since]
        silent.sort(key=lambda client: (-held[client.subscriber], client.silent_since))
        for client in silent[: max(1, int(self._room * DISCONNECTED_AT_ONCE))]:
            self._disconnect(client)

    def _disconnect(self, client):
        self._clients.discard(client)
        client.disconnect()


def _subscriber(addr):
    """addr: from accept(); not a tuple for a Unix socket. The same rule as in app/limits/network.py, which
    this module must not import.
    """
    if not isinstance(addr, tuple):
        return ""
    if ":" not in addr[0]:
        return addr[0]
    address = ip_address(addr[0])
    return str(address.ipv4_mapped or address.packed[:8])


def _unread(body):
    """Whether a part of the body may be unread."""
    if body is None:
        return False
    if body.failed:
        return True
    if isinstance(body.reader, ChunkedReader):
        return body.reader.parser is not None
    return getattr(body.reader, "length", 0) > 0
