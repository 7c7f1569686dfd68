"""What counts as one caller where user names prove nothing: an IPv4 address, or a /64 network of IPv6."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

IPV6_PREFIX = 64
"""What one subscriber has; every address of it is as good as another."""


def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address, as a Unix socket has none.

    An IPv4 caller of a socket for both versions has an IPv4 address.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def network_of(address: str) -> bytes:
    """Empty for what is no address."""
    found = parsed(address)
    if found is None:
        return b""
    return found.packed if isinstance(found, IPv4Address) else found.packed[: IPV6_PREFIX // 8]
