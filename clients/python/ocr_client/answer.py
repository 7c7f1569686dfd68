"""The service's response for a recognised picture. Unknown fields are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Point = tuple[int, int]
Quad = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text. score: 0-1. box: corners in pixels of the upright picture, clockwise from where the
    text begins; None with `boxes=False`.
    """

    text: str
    score: float
    box: Quad | None


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """Upright size in pixels, file format, and SHA-256 of the file in lower-case hex."""

    width: int
    height: int
    format: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Milliseconds spent in the service: in the queue, downloading, decoding, reading, and in total."""

    queue: int
    fetch: int
    decode: int
    ocr: int
    total: int


@dataclass(frozen=True, slots=True)
class Quota:
    """Recognitions granted and remaining; both None for an unlimited user."""

    limit: int | None
    remaining: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """text: the lines in reading order, joined by line breaks; empty if the picture has no text."""

    text: str
    lines: tuple[Line, ...]
    picture: PictureInfo
    model: str
    elapsed_ms: Elapsed
    quota: Quota
    request_id: str

    @classmethod
    def of(cls, body: dict[str, Any]) -> Result:
        """Raises KeyError or TypeError if the body is not a response of the service."""
        return cls(
            text=body["result"],
            lines=tuple(Line(x["text"], x["score"], _quad(x.get("box"))) for x in body["lines"]),
            picture=_known(PictureInfo, body["picture"]),
            model=body["model"],
            elapsed_ms=_known(Elapsed, body["elapsed_ms"]),
            quota=_known(Quota, body["quota"]),
            request_id=body["request_id"],
        )


def _known(kind: Any, values: dict[str, Any]) -> Any:
    return kind(**{name: values[name] for name in kind.__dataclass_fields__})


def _quad(points: list[list[int]] | None) -> Quad | None:
    if points is None:
        return None
    a, b, c, d = ((x, y) for x, y in points)
    return a, b, c, d
