"""The unit of limits for unauthenticated callers: an IPv4 address, or a /64 network of IPv6."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

IPV6_PREFIX = 64
"""A subscriber usually has a /64 network, and can use all of its addresses."""


def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """None if the text is not an IP address, as for a Unix socket. ::ffff:a.b.c.d becomes IPv4."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def network_of(address: str) -> bytes:
    """The packed IPv4 address or IPv6 /64 prefix; empty if the text is not an IP address."""
    found = parsed(address)
    if found is None:
        return b""
    return found.packed if isinstance(found, IPv4Address) else found.packed[: IPV6_PREFIX // 8]
