"""URLs that a picture may be downloaded from, checked before any network access. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

import idna

from app.errors import PictureUrlNotAllowed

MAX_URL_BYTES = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}

# Matches the whole authority: urlsplit ignores text after a closing bracket.
_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*\]|[^\[\]@:]+)(:(?P<port>[0-9]{0,5}))?")
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
# Resolvers treat a name that ends in a number as an IPv4 address: 127.1, 2130706433, 0x7f000001, 0177.0.0.1.
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a checked URL, so that later code never parses the original text again.

    host: canonical name (A-labels) or address, without brackets. path: with the query, without the fragment.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


class UrlPolicy:
    """allow_hosts: if not empty, the only permitted hosts; compared in canonical form."""

    def __init__(self, *, allow_ports: Iterable[int], allow_hosts: Iterable[str]) -> None:
        self._ports = frozenset(allow_ports)
        self._hosts = frozenset(map(canonical_host, allow_hosts))

    def check(self, url: str) -> Target:
        """Parse and check a URL. Raises PictureUrlNotAllowed."""
        if len(url.encode("utf-8", "surrogatepass")) > MAX_URL_BYTES:
            raise PictureUrlNotAllowed(f"longer than {MAX_URL_BYTES} bytes")
        # URL parsers disagree on these: urlsplit drops tabs and line ends, browsers treat \ as a slash.
        if "\\" in url or any(char.isspace() or not char.isprintable() for char in url):
            raise PictureUrlNotAllowed("a backslash, white space or a control character")
        parts = _split(url)
        try:
            place = _PLACE.fullmatch(parts.netloc)
            if place is None:
                raise ValueError("user-info, or no host and port")
            host = canonical_host(place["host"].strip("[]"))
        except ValueError as error:
            raise PictureUrlNotAllowed(f"malformed: {error}") from None
        if parts.scheme not in DEFAULT_PORTS:
            raise PictureUrlNotAllowed(f"scheme {parts.scheme!r}")
        port = int(place["port"] or DEFAULT_PORTS[parts.scheme])
        if port not in self._ports:
            raise PictureUrlNotAllowed(f"port {port}")
        if self._hosts and host not in self._hosts:
            raise PictureUrlNotAllowed(f"host {host} is not in allow_hosts")
        query = f"?{parts.query}" if parts.query else ""
        return Target(parts.scheme, host, port, (parts.path or "/") + query)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its text may quote a password before the host
        raise PictureUrlNotAllowed("malformed host or port") from None


def canonical_host(host: str) -> str:
    """The canonical form of a host, used for comparison, DNS, connection and certificate.

    Raises ValueError for an IPv4 address in any other notation, a zone id, a trailing dot and invalid names.
    """
    if ":" in host:
        address = IPv6Address(host)
        if address.scope_id is not None:
            raise ValueError("zone id")
        return str(address)
    if not host.isascii():
        # Strict IDNA refuses full-width digits and dots instead of mapping them to ASCII.
        host = idna.encode(host.lower(), strict=True, std3_rules=True).decode("ascii")
    host = host.lower()
    if _ENDS_IN_A_NUMBER.fullmatch(host):
        return str(IPv4Address(host))
    if not _NAME.fullmatch(host):
        raise ValueError("not a host name")
    return host
