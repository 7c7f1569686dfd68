"""A second dialect: a module with three functions and a line in DIALECTS. This one is made up."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import PictureUnreachable, ServiceError
from app.model.reading import OcrAnswer
from app.web import ocr
from app.web.dialects import Incoming, own
from app.web.operation import Operation
from tests.web.fixed import ALICE, CountedMetrics, client_of, ocr_routes, recognised

PLAIN = "text/plain"


def decode(incoming: Incoming) -> Any:
    """The picture's URL alone, for a user that the dialect knows."""
    fields = ALICE.body(picture_url=incoming.body.decode())
    return own.decode_request(
        fields, None, request_id=incoming.request_id, arrived=incoming.arrived, limits=incoming.limits
    )


def encode_answer(answer: OcrAnswer, *, tips: str) -> Mapping[str, Any]:
    return {"words": answer.reading.page.text.split()}


def encode_error(error: ServiceError, *, tips: str, request_id: str) -> Mapping[str, Any]:
    return {"failed": error.error}


@pytest.fixture
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = SimpleNamespace(
        OPERATION=Operation(bodies={PLAIN: own.RequestBody}),
        decode=decode,
        encode_answer=encode_answer,
        encode_error=encode_error,
    )
    monkeypatch.setattr(ocr, "DIALECTS", {**ocr.DIALECTS, "/plain": module})


@pytest.mark.usefixtures("_plain")
def test_a_dialect_reads_and_answers_in_its_own_format() -> None:
    metrics = CountedMetrics()
    client = client_of(ocr_routes(recognised()), metrics=metrics)
    answer = client.post("/plain", data="https://example.com/a.png", content_type=PLAIN)
    assert answer.get_json() == {"words": ["合计", "“12.50”", "/", "ñ", '"quoted"', "\\", "text"]}
    assert metrics.counts == {(6, None, True): 1}
    assert client.post("/ocr", json=ALICE.body(picture=b"a picture")).get_json()["status_code"] == 6


@pytest.mark.usefixtures("_plain")
def test_a_dialect_fails_in_its_own_format() -> None:
    client = client_of(ocr_routes(PictureUnreachable("why", stage="dns")))
    failed = client.post("/plain", data="https://example.com/a.png", content_type=PLAIN)
    assert (failed.status_code, failed.get_json()) == (422, {"failed": "picture_unreachable"})
    refused = client.post("/plain", json={})
    assert (refused.status_code, refused.get_json()) == (415, {"failed": "media_type_unsupported"})
    assert client.post("/ocr", data="x", content_type=PLAIN).get_json()["status_code"] == 20
