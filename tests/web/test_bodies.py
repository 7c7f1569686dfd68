"""Answers, byte for byte as they are in bodies/: what clients parse does not change unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import web
from app.errors import DependencyUnavailable, OcrFailed, PictureUnreachable, RequestMalformed
from app.model.account import Account, Quota
from app.model.reading import Elapsed, Line, OcrAnswer, Page, PictureInfo, ReadResult
from app.model.usage import Usage, UsageFigures, UsageReport, UserQuota, UserUsage
from app.system.clock import SystemClock
from app.telemetry.metrics import Metrics
from app.web import ocr, sign_in, status, usage
from app.web.body import BodyReader
from app.web.budget import BodyBudget
from app.web.dialects import RequestLimits
from config.settings import load_tips
from tests.signing import Caller

RECORDED = Path(__file__).parent / "bodies"
REQUEST_ID = "01a1fa7b64b87d1f85d026bb6e565df0"
ALICE = Caller("alice", "secret")
CLOCK = SystemClock()

QUAD = ((12, 20), (310, 20), (310, 52), (12, 52))
LINES = (Line("合计 “12.50” / ñ", 0.998765, QUAD), Line('"quoted" \\ text', 0.5, QUAD))
PICTURE = PictureInfo(463, 1013, "JPEG", "ab" * 32)
QUOTA = UserQuota("day", 10, 3, 7)
FIGURES = UsageFigures(None, 3, {6: 2, 14: 1}, 2, 31, 120, 480)
DAY = UsageFigures(date(2026, 3, 1), 3, {6: 2, 14: 1}, 2, 31, 120, 480)
EMPTY = UsageFigures(None, 0, {}, 0, 0, None, None)
OTHERS = (
    UserUsage("alice", True, QUOTA, 3, 2, 31),
    UserUsage("bob", False, UserQuota("none", None, 0, None), 0, 0, 0),
)


def recognised(lines: tuple[Line, ...], quota: Quota, *, boxes: bool) -> OcrAnswer:
    reading = ReadResult(Page(lines, "PP-OCRv6_small", 5, 6), PICTURE, 9, 812)
    return OcrAnswer(REQUEST_ID, reading, Elapsed(3, 41, 9, 812, 871), quota, boxes)


def report(total: UsageFigures, *days: UsageFigures) -> UsageReport:
    return UsageReport(date(2026, 3, 1), date(2026, 3, 31), total, days)


class Fixed:
    """A service that answers every request in the same way."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome

    def handle(self, *_: object, **__: object) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def client_of(*blueprints: Any) -> Any:
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    web.init_app(app, new_request_id=lambda: REQUEST_ID, tips=load_tips(), proxies=(), metrics=Metrics())
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app.test_client()


READER = BodyReader(1_000_000, lambda _: nullcontext())


def post_ocr(outcome: object, body: dict[str, Any] | None = None, **options: Any) -> TestResponse:
    service: Any = Fixed(outcome)
    routes = ocr.blueprint(
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
            tips=load_tips(),
        )
    )
    body = ALICE.body(picture=b"a picture") if body is None else body
    return client_of(routes).open("/ocr", **{"method": "POST", "json": body} | options)


def get_usage(outcome: Usage) -> TestResponse:
    query = ALICE.body()
    return client_of(usage.blueprint(Fixed(outcome), clock=CLOCK, max_days=93)).get(
        "/usage", query_string=query
    )


def post_sign_in() -> TestResponse:
    service: Any = Fixed(Account(1, "alice", ("f00d" * 8, "0ld" * 8)))
    return client_of(sign_in.blueprint(service, reader=READER)).post(
        "/sign-in", json={"username": "alice", "code": "0" * 32}
    )


def get_status(path: str, *, ready: bool, full: dict[Path, int], store: bool = True) -> TestResponse:
    def ping() -> None:
        if not store:
            raise DependencyUnavailable("down")

    offload: Any = SimpleNamespace(ready=lambda: ready)
    disks: Any = SimpleNamespace(full=lambda: full)
    return client_of(
        status.blueprint(ping_store=ping, offload=offload, disks=disks, store_folder=Path("/data"))
    ).get(path)


FULL = {Path("/data"): 12, Path("/log"): 0}
LIMITED, UNLIMITED = Quota(10, 9), Quota(None, None)
BODIES: dict[str, Callable[[], TestResponse]] = {
    "recognised": lambda: post_ocr(recognised(LINES, LIMITED, boxes=True)),
    "recognised_without_boxes": lambda: post_ocr(recognised(LINES, UNLIMITED, boxes=False)),
    "recognised_without_text": lambda: post_ocr(recognised((), UNLIMITED, boxes=True)),
    "error": lambda: post_ocr(OcrFailed("no more than this")),
    "error_with_field": lambda: post_ocr(RequestMalformed("why", field="boxes")),
    "error_with_stage": lambda: post_ocr(PictureUnreachable("why", stage="dns")),
    "error_in_chinese": lambda: post_ocr(None, {}, headers={"Accept-Language": "zh"}),
    "method_not_allowed": lambda: post_ocr(None, method="GET"),
    "not_found": lambda: client_of().get("/nothing"),
    "usage": lambda: get_usage(Usage("alice", QUOTA, report(FIGURES, DAY), None)),
    "usage_of_all": lambda: get_usage(Usage(None, None, report(EMPTY), OTHERS)),
    "sign_in": post_sign_in,
    "healthz": lambda: get_status("/healthz", ready=False, full={}),
    "readyz": lambda: get_status("/readyz", ready=True, full={}),
    "readyz_without_store": lambda: get_status("/readyz", ready=False, full={}, store=False),
    "readyz_with_full_disk": lambda: get_status(
        "/readyz", ready=True, full={Path("/data"): 12, Path("/log"): 0}
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_what_it_was(name: str) -> None:
    assert BODIES[name]().get_data() == (RECORDED / f"{name}.json").read_bytes()


def test_every_recorded_body_is_compared() -> None:
    assert {path.stem for path in RECORDED.iterdir()} == BODIES.keys()
