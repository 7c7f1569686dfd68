"""Which addresses may be dialled: the public internet, and nothing that is special in any way."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `is_global` says yes to these. Azure answers its virtual machines at the last one.
_SPECIAL_V4 = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


def parse_address(text: str) -> Address | None:
    """None for anything but an address, which includes one with a zone id."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else address


def is_open(address: Address, networks: frozenset[Network]) -> bool:
    """Whether a network that the operator opened by name holds the address."""
    address = _as_reached(address)
    return any(address in network for network in networks)


def is_public(address: Address) -> bool:
    """Whether the address is the public internet's and not this host's own. Denies what it does not know."""
    address = _as_reached(address)
    if isinstance(address, IPv4Address):
        special = any(address in network for network in _SPECIAL_V4)
        public = address.is_global and not (address.is_multicast or address.is_reserved or special)
    else:
        special = any(address in network for network in _SPECIAL_V6) or _is_isatap(address)
        public = address in _UNICAST_V6 and not special
    return public and not is_own(address)


def is_own(address: Address) -> bool:
    """Whether the address is this host's own: only those can be bound. Unsure counts as own."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((str(address), 0))
    except OSError as error:
        # EAFNOSUPPORT: a host without IPv6 has no such address.
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _as_reached(address: Address) -> Address:
    """The kernel dials ::ffff:a.b.c.d over IPv4."""
    return getattr(address, "ipv4_mapped", None) or address


def _is_isatap(address: IPv6Address) -> bool:
    """RFC 5214: the interface id is [0-3]00:5efe and an IPv4 address, to which a tunnel would lead."""
    return (int(address) >> 32) & 0xFCFF_FFFF == 0x0000_5EFE
