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
"""A URL, a file, or the picture itself. A text is never taken for a file: it may come from a stranger."""


class Options(TypedDict, total=False):
    """What may be asked for; the service's defaults hold for the rest.

    min_score: lines that score lower (0-1) are left out. side_limit: longest side in pixels that detection
    works on. orient: the page may lie on its side or upside down. timeout_ms: of the whole request.
    """

    boxes: bool
    min_score: float
    side_limit: int
    charset: Literal["full", "latin", "digits", "chinese+latin"]
    orient: bool
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signs."""

    user: str
    secret: str = field(repr=False)

    def request(self, picture: Picture, options: Options) -> dict[str, Any]:
        """A body that was never sent before, as keywords for httpx. Raises OSError for a file, ValueError for
        a text that is no URL."""
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
        raise ValueError(f"{text[:80]!r} is not an http(s) URL; a file is given as a pathlib.Path")
    return text
