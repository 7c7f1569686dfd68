"""Applications that measure the service's own cost: ours with an engine that does nothing, and a bare Flask
route with an answer of the same length. `gunicorn --config gunicorn.py bench.noop:ours` or `bench.noop:bare`
"""

from __future__ import annotations

from types import SimpleNamespace, TracebackType
from typing import Self

from flask import Flask, Response, request

from app import create_app
from app.model.reading import Line, Page, PictureInfo, ReadOptions, ReadResult
from app.wiring import services as wiring

BOX = ((12, 20), (310, 20), (310, 52), (12, 52))
READING = ReadResult(
    Page(tuple(Line(f"line {number} of a receipt", 0.99, BOX) for number in range(10)), "none"),
    PictureInfo(463, 1013, "JPEG", "ab" * 32),
    decode_ms=0,
    ocr_ms=0,
)


class NoEngine:
    """Implements Offload and Reservation: every picture has the same ten lines, without delay."""

    def start(self) -> None: ...

    def ready(self) -> bool:
        return True

    def reserve(self, *_: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        return READING, 0


def ours() -> Flask:
    wiring.build_offload = lambda *_, **__: NoEngine()  # type: ignore[attr-defined]
    return create_app()


def bare() -> Flask:
    app = Flask(__name__)
    app.extensions["ocr"] = SimpleNamespace(start=lambda: None)  # gunicorn.py starts it
    answer = b"x" * 1400  # as long as ours

    @app.post("/ocr")
    def route() -> Response:
        request.get_data()
        return Response(answer, content_type="application/json")

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    return app
