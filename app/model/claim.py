"""Who asks: the part of a request that authentication, admission and nonces work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | int | bool
"""What a field of a request's flat body may hold."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims to send a request. Its fields have the right form; nothing is authenticated yet.

    timestamp: Unix seconds. legacy: signed with the original service's md5 scheme.
    signed_fields: every field that the signature covers, as written in the string to sign.
    address: the client's IP address, as far as the proxies are trusted; empty over a Unix socket.
    """

    request_id: str
    username: str
    nonce: str
    sign: str
    timestamp: int | None
    legacy: bool
    signed_fields: Mapping[str, str]
    address: str = ""
