"""A recognised picture, as the service tells of it. Fields that are new to this client are passed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Point = tuple[int, int]
Quad = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text. score: 0-1. box: in pixels of the upright picture, clockwise from where the text
    begins; None if `boxes=False` was asked for."""

    text: str
    score: float
    box: Quad | None


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """Upright size in pixels, container format, and the digest of the bytes that were read."""

    width: int
    height: int
    format: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Milliseconds spent in the service: waiting, fetching, decoding, reading, and in all."""

    queue: int
    fetch: int
    decode: int
    ocr: int
    total: int


@dataclass(frozen=True, slots=True)
class Quota:
    """Recognitions granted and left; both None for a user without limit."""

    limit: int | None
    remaining: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """text: the lines in reading order, joined by line breaks; empty where there is no text."""

    text: str
    lines: tuple[Line, ...]
    picture: PictureInfo
    model: str
    elapsed_ms: Elapsed
    quota: Quota
    request_id: str

    @classmethod
    def of(cls, body: dict[str, Any]) -> Result:
        """Raises KeyError or TypeError where the body is not the contract's."""
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
