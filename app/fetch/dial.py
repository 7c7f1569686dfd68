"""The only place that opens connections to strangers, and the guard that judges each address first."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import PictureUnreachable, PictureUrlNotAllowed
from app.fetch.address import Address, Network, is_open, is_public, parse_address
from app.ports import Clock

Resolver = Callable[..., Sequence[tuple[Any, ...]]]

# A stranger's name may carry hundreds of addresses, and each would get a packet from us.
MAX_ADDRESSES_TRIED = 8


def seconds_left(clock: Clock, deadline: float) -> float:
    """Raises PictureUnreachable(stage="timeout") when nothing is left."""
    left = deadline - clock.monotonic()
    if left <= 0:
        raise PictureUnreachable("the time is over", stage="timeout")
    return left


@dataclass(frozen=True, slots=True)
class Dialler:
    """resolver: answers like socket.getaddrinfo. allow_networks: opened although they are not public."""

    allow_networks: frozenset[Network]
    connect_timeout_s: float
    clock: Clock
    resolver: Resolver

    def dial(self, host: str, port: int, deadline: float) -> socket.socket:
        """Connect to the first of the host's addresses that answers, once all of them were judged.

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
        """The host's addresses, every one of them permitted: one bad answer spoils the name.

        An address in the URL that is not permitted raises PictureUrlNotAllowed. A name raises
        PictureUnreachable(stage="dns") both where it does not resolve and where it resolves to what is
        not permitted: the answer must not tell a stranger which names exist on the inner network.
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
