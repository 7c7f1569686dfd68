"""The routes in front of services with a fixed outcome: no engine, no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from flask import Blueprint, Flask
from flask.testing import FlaskClient

from app import web
from app.model.account import Quota
from app.model.reading import Elapsed, Line, OcrAnswer, Page, PictureInfo, ReadResult
from app.system.clock import SystemClock
from app.web import ocr
from app.web.body import BodyReader
from app.web.budget import BodyBudget
from app.web.dialects import RequestLimits
from config.settings import load_tips
from tests.signing import Caller

REQUEST_ID = "01a1fa7b64b87d1f85d026bb6e565df0"
ALICE = Caller("alice", "secret")
CLOCK = SystemClock()
READER = BodyReader(1_000_000, lambda _: nullcontext())

QUAD = ((12, 20), (310, 20), (310, 52), (12, 52))
LINES = (Line("合计 “12.50” / ñ", 0.998765, QUAD), Line('"quoted" \\ text', 0.5, QUAD))
UNLIMITED = Quota(None, None)
TIPS = {name: {"en": f"About {name}.", "zh": f"关于 {name}。"} for name in load_tips()}
"""Not the service's sentences, which may be reworded."""


class Fixed:
    """A service that returns or raises the same thing for every request, whose signature it finds right."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome

    def handle(self, *_: object, on_proven: Callable[[], None] = lambda: None, **__: object) -> Any:
        on_proven()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class CountedMetrics:
    """Counts answers by status code, stage, and whether the signature was right."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int | None, str | None, bool]] = Counter()

    def answered(self, status_code: int | None, _: object, *, stage: str | None, signed: bool) -> None:
        self.counts[status_code, stage, signed] += 1


def recognised(lines: tuple[Line, ...] = LINES, quota: Quota = UNLIMITED, *, boxes: bool = True) -> OcrAnswer:
    picture = PictureInfo(463, 1013, "JPEG", "ab" * 32)
    reading = ReadResult(Page(lines, "PP-OCRv6_small", 5, 6), picture, 9, 812)
    return OcrAnswer(REQUEST_ID, reading, Elapsed(3, 41, 9, 812, 871), quota, boxes)


def client_of(*blueprints: Blueprint, metrics: CountedMetrics | None = None) -> FlaskClient:
    counted: Any = metrics or CountedMetrics()
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    web.init_app(
        app,
        new_request_id=lambda: REQUEST_ID,
        tips=TIPS,
        proxies=(),
        metrics=counted,
    )
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app.test_client()


def ocr_routes(outcome: object) -> Blueprint:
    service: Any = Fixed(outcome)
    return ocr.blueprint(
        ocr.Recogniser(
            service,
            clock=CLOCK,
            limits=RequestLimits(
                max_body_bytes=1_000_000,
                timeout_ms=30_000,
                min_timeout_ms=500,
                max_timeout_ms=60_000,
                max_side_limit=2560,
            ),
            reader=READER,
            budget=BodyBudget(max_bytes=1_000_000, max_bytes_per_address=1_000_000),
            tips=TIPS,
        )
    )
