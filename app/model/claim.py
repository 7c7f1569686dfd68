"""Who asks: the signed fields of a request, of which nothing is trusted yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.model.reading import ReadOptions

Value = str | int | bool
"""What a field of a request's flat body may hold."""


def nothing() -> None:
    pass


def never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class OcrRequest:
    """One request in the terms of the contract, its field forms checked, nothing of it trusted yet.

    signed_fields: every field that the signature covers, as it is written in the string to sign.
    picture: gives the bytes that came with the request, None where picture_url names them. They are decoded
    at the first call, which is not made before the signature was found good; it may raise RequestMalformed.
    deadline: on the monotonic clock, in seconds. gone: whether its caller has hung up.
    proven: called once the signature was found good.
    address: whom it came from, as far as that can be believed; empty over a Unix socket.
    """

    request_id: str
    username: str
    nonce: str
    sign: str
    timestamp: int | None
    legacy: bool
    signed_fields: Mapping[str, str]
    deadline: float
    picture_url: str | None = None
    picture: Callable[[], bytes] | None = field(default=None, repr=False)
    picture_sha256: str | None = None
    options: ReadOptions = ReadOptions()
    address: str = ""
    gone: Callable[[], bool] = never
    proven: Callable[[], None] = nothing
