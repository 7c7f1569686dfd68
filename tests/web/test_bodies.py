"""Answers, byte for byte as they are in bodies/: what clients parse does not change unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.errors import DependencyUnavailable, OcrFailed, PictureUnreachable, RequestMalformed
from app.model.account import Account, Quota
from app.model.usage import Usage, UsageFigures, UsageReport, UserQuota, UserUsage
from app.web import sign_in, status, usage
from tests.web.fixed import ALICE, CLOCK, READER, Fixed, client_of, ocr_routes, recognised

RECORDED = Path(__file__).parent / "bodies"

QUOTA = UserQuota("day", 10, 3, 7)
FIGURES = UsageFigures(None, 3, {6: 2, 14: 1}, 2, 31, 120, 480)
DAY = UsageFigures(date(2026, 3, 1), 3, {6: 2, 14: 1}, 2, 31, 120, 480)
EMPTY = UsageFigures(None, 0, {}, 0, 0, None, None)
OTHERS = (
    UserUsage("alice", True, QUOTA, 3, 2, 31),
    UserUsage("bob", False, UserQuota("none", None, 0, None), 0, 0, 0),
)


def report(total: UsageFigures, *days: UsageFigures) -> UsageReport:
    return UsageReport(date(2026, 3, 1), date(2026, 3, 31), total, days)


def post_ocr(outcome: object, body: dict[str, Any] | None = None, **options: Any) -> TestResponse:
    body = ALICE.body(picture=b"a picture") if body is None else body
    return client_of(ocr_routes(outcome)).open("/ocr", **{"method": "POST", "json": body} | options)


def get_usage(outcome: Usage) -> TestResponse:
    service: Any = Fixed(outcome)
    client = client_of(usage.blueprint(service, clock=CLOCK, max_days=93))
    return client.get("/usage", query_string=ALICE.body())


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
BODIES: dict[str, Callable[[], TestResponse]] = {
    "recognised": lambda: post_ocr(recognised(quota=Quota(10, 9))),
    "recognised_without_boxes": lambda: post_ocr(recognised(boxes=False)),
    "recognised_without_text": lambda: post_ocr(recognised(())),
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
    "readyz_with_full_disk": lambda: get_status("/readyz", ready=True, full=FULL),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_what_it_was(name: str) -> None:
    assert BODIES[name]().get_data() == (RECORDED / f"{name}.json").read_bytes()


def test_every_recorded_body_is_compared() -> None:
    assert {path.stem for path in RECORDED.iterdir()} == BODIES.keys()
