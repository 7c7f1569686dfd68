"""IP addresses that a picture may be downloaded from: public internet addresses only."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `is_global` is true for these special networks. The last address is Azure's host, seen from its machines.
_SPECIAL_V4 = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


def parse_address(text: str) -> Address | None:
    """None if the text is not an IP address, or has a zone id."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else address


def is_open(address: Address, networks: frozenset[Network]) -> bool:
    """Whether the address is in one of the networks that the operator opened."""
    address = _as_reached(address)
    return any(address in network for network in networks)


def is_public(address: Address) -> bool:
    """Whether the address is public and not this host's own. False for unknown kinds of addresses."""
    address = _as_reached(address)
    if isinstance(address, IPv4Address):
        special = any(address in network for network in _SPECIAL_V4)
        public = address.is_global and not (address.is_multicast or address.is_reserved or special)
    else:
        special = any(address in network for network in _SPECIAL_V6) or _is_isatap(address)
        public = address in _UNICAST_V6 and not special
    return public and not is_own(address)


def is_own(address: Address) -> bool:
    """Whether the address is this host's own, because a socket can be bound to it. True if in doubt."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((str(address), 0))
    except OSError as error:
        # EAFNOSUPPORT: a host without IPv6 has no IPv6 address.
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _as_reached(address: Address) -> Address:
    """The IPv4 address for ::ffff:a.b.c.d, which the kernel dials over IPv4."""
    return getattr(address, "ipv4_mapped", None) or address


def _is_isatap(address: IPv6Address) -> bool:
    """RFC 5214: the interface id is [0-3]00:5efe and the IPv4 address of a tunnel's end."""
    return (int(address) >> 32) & 0xFCFF_FFFF == 0x0000_5EFE
