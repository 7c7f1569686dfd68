"""A picture and its options as a signed request: a form for a file, JSON for a URL."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from ocr_client.signing import Value, as_text, sign

Picture = str | Path | bytes
"""A URL, a file or the bytes of a picture. A str is never a file name, because it may be untrusted."""


class Options(TypedDict, total=False):
    """Options of a request; the service has a default for each.

    boxes: False omits the boxes. min_score (0-1): lines with a lower score are omitted. side_limit: detection
    scales the picture down to this longest side, in pixels. orient: detect pages on their side or upside
    down. timeout_ms: time limit of the whole request.
    """

    boxes: bool
    min_score: float
    side_limit: int
    charset: Literal["full", "latin", "digits", "chinese+latin"]
    orient: bool
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who signs requests."""

    user: str
    secret: str = field(repr=False)

    def request(self, picture: Picture, options: Options) -> dict[str, Any]:
        """A new signed request, as keywords for httpx. Raises OSError for a file, ValueError for a str that
        is not a URL.
        """
        fields: dict[str, Value] = {
            "username": self.user,
            "timestamp": int(time.time()),
            "nonce": secrets.token_urlsafe(16),
            **_as_fields(options),
        }
        if isinstance(picture, str):
            return {"json": self._signed(fields | {"picture_url": _url(picture)})}
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
        signed = self._signed(fields | {"picture_sha256": hashlib.sha256(data).hexdigest()})
        form = {name: as_text(value) for name, value in signed.items()}
        return {"data": form, "files": {"image": ("picture", data, "application/octet-stream")}}

    def _signed(self, fields: dict[str, Value]) -> dict[str, Value]:
        return fields | {"sign": sign(self.secret, fields)}


def _as_fields(options: Mapping[str, Any]) -> dict[str, Value]:
    return {
        name: f"{value:.6f}" if name == "min_score" else value
        for name, value in options.items()
        if value is not None
    }


def _url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError(f"{text[:80]!r} is not an http(s) URL; use a pathlib.Path for a file")
    return text
