"""The worker that gunicorn.py names: gunicorn's own for gevent, with bounds on what silent clients may hold.

It stands here because nothing in app/ imports gunicorn. The master imports it before gevent patches anything,
so it imports nothing of the service.
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
"""Share of worker_connections at which silent clients are disconnected. The rest is for those that are just
being accepted or closed: where the pool is full, gunicorn accepts nobody."""

DISCONNECTED_AT_ONCE = 0.1
"""Share of that room which is made free each time."""

CROWDED = 0.5
"""Share of that room from which on a request waits for its body before it takes time of the service."""

BODY_AWAITED_S = 5
BODY_AWAITED_BYTES = 64 * 1024
LAST_CHUNK = b"\r\n\r\n"

STOPPING_SILENCE_S = 5
"""A client that is silent for longer does not keep a worker that stops from being replaced."""

DRAIN_S = 5
DRAIN_BYTES = 64 * 1024
DRAIN_READS = 512  # 32 MiB
DRAIN_PAUSE_S = 0.001  # gevent's sleep(0) looks at no other socket


class Client(socket.socket):
    """A connection to a client.

    silent_since: when the wait for the client to send or to receive began, on the monotonic clock; None while
    the service is at work. subscriber: the address, or the /64 of IPv6.
    """

    silent_since = None
    subscriber = ""

    def recv(self, *args):
        return self._waiting(super().recv, *args)

    def send(self, *args, **options):
        return self._waiting(super().send, *args, **options)

    def sendall(self, *args):
        """Sends piece by piece with send, so that a slow client is not a silent one."""
        return self._waiting(super().sendall, *args)

    def _waiting(self, call, *args, **options):
        self.silent_since = monotonic()
        try:
            return call(*args, **options)
        except (BlockingIOError, TimeoutError):
            raise
        except OSError as error:  # for all but a few of them gunicorn would log a traceback
            raise ConnectionResetError(errno.ECONNRESET, str(error)) from error
        finally:
            self.silent_since = None

    def disconnect(self):
        """The client's own greenlet finds the connection reset, wherever it waits for the client."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def drain(self):
        """End the answer, then read and drop what the client still sends: closing a socket over unread bytes
        resets it, and the client may lose the answer (RFC 9112, section 9.6)."""
        with suppress(OSError), gevent.Timeout(DRAIN_S, False):
            self.shutdown(socket.SHUT_WR)
            for _ in range(DRAIN_READS):
                if not self.recv(DRAIN_BYTES):
                    return
                gevent.sleep(DRAIN_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Listener:
    """All that gunicorn asks of a listener while it serves a client."""

    name: object

    def getsockname(self):
        return self.name


class BoundedWorker(GeventWorker):
    """However many clients connect and then do nothing, there is room for one that sends a request.

    Near the limit of connections those clients are disconnected that have been silent longest, beginning with
    the address that has the most. A connection ends with a request whose body was not read to its end,
    because nobody knows where the next request begins.
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
        """Called each second."""
        super().notify()
        if not self.alive:
            before = monotonic() - STOPPING_SILENCE_S
            for client in [c for c in self._clients if c.silent_since and c.silent_since < before]:
                self._disconnect(client)

    def handle(self, listener, client, addr):
        # A worker that stops closes its listener before it serves the clients that it has just accepted.
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
            del req.should_close  # a cycle, which would keep the body until a collection
        if drains:
            req.body = None  # with what it has buffered
            sock.drain()
        raise StopIteration

    def _await_body(self, req, client):
        """Until its body comes, a request costs no more than half a head, and others may push it out.

        What arrives is given back as it came, before its framing is looked at.
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
    """addr: as accept() gives it, which is no tuple for a Unix socket. This module may not import
    app/limits/network.py, which says the same for the service.
    """
    if not isinstance(addr, tuple):
        return ""
    if ":" not in addr[0]:
        return addr[0]
    address = ip_address(addr[0])
    return str(address.ipv4_mapped or address.packed[:8])


def _unread(body):
    """Whether bytes of the body may still be on their way."""
    if body is None:
        return False
    if body.failed:
        return True
    if isinstance(body.reader, ChunkedReader):
        return body.reader.parser is not None
    return getattr(body.reader, "length", 0) > 0
