"""The only place that connects to picture hosts, after checking every address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import PictureUnreachable, PictureUrlNotAllowed
from app.fetch.address import Address, Network, is_open, is_public, parse_address
from app.ports import Clock

Resolver = Callable[..., Sequence[tuple[Any, ...]]]

# A host name may resolve to hundreds of addresses, and each would get a packet from this service.
MAX_ADDRESSES_TRIED = 8


def seconds_left(clock: Clock, deadline: float) -> float:
    """Seconds until the deadline (monotonic clock). Raises PictureUnreachable(stage="timeout") if none."""
    left = deadline - clock.monotonic()
    if left <= 0:
        raise PictureUnreachable("the deadline has passed", stage="timeout")
    return left


@dataclass(frozen=True, slots=True)
class Dialler:
    """allow_networks: permitted although they are not public. resolver: like socket.getaddrinfo."""

    allow_networks: frozenset[Network]
    connect_timeout_s: float
    clock: Clock
    resolver: Resolver

    def dial(self, host: str, port: int, deadline: float) -> socket.socket:
        """Check all of the host's addresses, then connect to the first one that answers.

        Raises what `resolve_permitted` raises, and PictureUnreachable(stage="connect" or "timeout").
        """
        failure: OSError | None = None
        for address in self.resolve_permitted(host, port)[:MAX_ADDRESSES_TRIED]:
            try:
                return self._connect(address, port, deadline)
            except OSError as error:
                failure = error
        raise PictureUnreachable(f"{host} port {port}: {failure}", stage="connect")

    def resolve_permitted(self, host: str, port: int) -> list[Address]:
        """The host's addresses, all of which are permitted; one that is not excludes the host.

        An IP address that is not permitted raises PictureUrlNotAllowed. A name raises
        PictureUnreachable(stage="dns") both if it does not resolve and if an address is not permitted: the
        response must not reveal which names exist in the internal network.
        """
        literal = parse_address(host)
        if literal is not None:
            if not self._permits(literal):
                raise PictureUrlNotAllowed(f"address {literal}")
            return [literal]
        try:
            answers = self.resolver(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise PictureUnreachable(f"{host} does not resolve: {error}", stage="dns") from None
        addresses = []
        for *_, (text, *_) in answers:
            address = parse_address(text)
            if address is None or not self._permits(address):
                raise PictureUnreachable(f"{host} resolves to {text}", stage="dns")
            addresses.append(address)
        return list(dict.fromkeys(addresses))

    def _permits(self, address: Address) -> bool:
        return is_open(address, self.allow_networks) or is_public(address)

    def _connect(self, address: Address, port: int, deadline: float) -> socket.socket:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(self.connect_timeout_s, seconds_left(self.clock, deadline)))
            sock.connect((str(address), port))
            peer = parse_address(sock.getpeername()[0])
            if peer != address:
                raise PictureUrlNotAllowed(f"dialled {address} and reached {peer}")
        except BaseException:
            sock.close()
            raise
        return sock
