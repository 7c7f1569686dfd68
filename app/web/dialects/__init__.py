"""Wire formats of requests for a picture's text. A dialect is a module; app/web/ocr.py lists them by path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Request

from app.errors import ServiceError
from app.model.claim import Claim
from app.model.reading import OcrAnswer, ReadOrder
from app.ports import PictureSource
from app.web.operation import Operation

Decoded = tuple[Claim, ReadOrder, PictureSource | None]
"""Who asks, what is to be read, and the picture where the request contains it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What a request may hold and ask for: times in milliseconds, the side in pixels."""

    max_body_bytes: int
    timeout_ms: int
    min_timeout_ms: int
    max_timeout_ms: int
    max_side_limit: int

    def bounds(self) -> dict[str, dict[str, int]]:
        """By field, in the terms of JSON Schema."""
        return {
            "picture_base64": {"maxLength": self.max_body_bytes},
            "side_limit": {"maximum": self.max_side_limit},
            "timeout_ms": {
                "minimum": self.min_timeout_ms,
                "maximum": self.max_timeout_ms,
                "default": self.timeout_ms,
            },
        }


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request whose body has been read. arrived: on the monotonic clock, in seconds."""

    http: Request
    body: bytearray
    request_id: str
    address: str
    arrived: float
    limits: RequestLimits


class Dialect(Protocol):
    """What the module of a dialect contains: three functions, and the description of its route.

    OPERATION.bodies lists the media types accepted; others are refused before the body is read.
    """

    OPERATION: Operation

    def decode(self, incoming: Incoming) -> Decoded:
        """Raises ServiceError. Nothing of the result is authenticated yet."""

    def encode_answer(self, answer: OcrAnswer, *, tips: str) -> Mapping[str, Any]:
        """The JSON body of a success. tips: a sentence in the caller's language."""

    def encode_error(self, error: ServiceError, *, tips: str, request_id: str) -> Mapping[str, Any]:
        """The JSON body of a failure; error.detail is for the log alone."""
