"""A name server that lies as it is asked to: what a name resolves to is written in the name itself.

a-10.0.0.1.test            that address; of IPv6 with dashes: 6-2606-2800--1.test
mixed-10.0.0.1.test        a public address and that one
rebind-<nonce>-10.0.0.1.test   public at the first look-up, that address ever after
www.test, good.test, xn--...   public      none.test    no such name
silent.test    no answer at all            broken.test  the server's failure
many.test      59 public addresses, on which nobody listens
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import Counter
from ipaddress import IPv4Address, IPv6Address

from tests.hostile.network import NAME_SERVER, PUBLIC, PUBLIC_V6

A, AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2
_ASKED = re.compile(r"(a|6|mixed|rebind)-(?:n\w+-)?([0-9a-f.-]+)\.test")
_GOOD = re.compile(r"(www|good|slow\w*|xn--[a-z0-9-]+|bad-name|expired|self)\.test")


class NameServer(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAME_SERVER, 53))
        self._asked: Counter[tuple[str, int]] = Counter()

    def run(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            name, kind, end = _question(query)
            self._asked[name, kind] += 1
            answer = self._answer(name, kind)
            if answer is not None:
                self._socket.sendto(_reply(query[:end], *answer), peer)

    def _answer(self, name: str, kind: int) -> tuple[int, list[bytes]] | None:
        """The response code and the addresses, packed; None to be silent."""
        if name == "silent.test":
            return None
        if name == "broken.test":
            return SERVFAIL, []
        addresses = _addresses(name, self._asked[name, kind] == 1)
        if addresses is None:
            return NXDOMAIN, []
        size = 4 if kind == A else 16
        return 0, [address for address in addresses if len(address) == size]


def _addresses(name: str, first: bool) -> list[bytes] | None:
    public = IPv4Address(PUBLIC).packed
    if name == "v6.test":
        return [IPv6Address(PUBLIC_V6).packed]
    if name == "many.test":
        return [IPv4Address(f"93.184.217.{n}").packed for n in range(1, 60)]
    if _GOOD.fullmatch(name):
        return [public]
    asked = _ASKED.fullmatch(name)
    if asked is None:
        return None
    how, text = asked.groups()
    bad = IPv4Address(text).packed if "." in text else IPv6Address(text.replace("-", ":")).packed
    if how == "mixed":
        return [public, IPv6Address(PUBLIC_V6).packed, bad]
    if how == "rebind" and first:
        return [public, IPv6Address(PUBLIC_V6).packed]
    return [bad]


def _question(query: bytes) -> tuple[str, int, int]:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    return ".".join(labels), int.from_bytes(query[at + 1 : at + 3], "big"), at + 5


def _reply(query: bytes, code: int, addresses: list[bytes]) -> bytes:
    head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(addresses), 0, 0)
    records = b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", A if len(address) == 4 else AAAA, 1, 0, len(address)) + address
        for address in addresses
    )
    return head + query[12:] + records
