"""POST /ocr and the routes of other dialects: bytes in, the service's story, bytes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from flask import Blueprint, Request, Response, g, request

from app.errors import MediaTypeUnsupported
from app.ports import Clock
from app.service.recognise import OcrService
from app.web.access import callers
from app.web.answers import json_answer
from app.web.body import BodyReader, hung_up
from app.web.budget import BodyBudget, UnprovenBody
from app.web.dialects import Decoded, Dialect, Incoming, RequestLimits, own
from app.web.errors import Tips, tip
from app.web.observer import observation, observed
from app.web.operation import documented

DIALECTS: Mapping[str, Dialect] = {
    "/ocr": own,
}
"""By path. A further dialect is a module in app/web/dialects/ and a line here."""


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Answers requests of every dialect."""

    service: OcrService
    clock: Clock
    limits: RequestLimits
    reader: BodyReader
    budget: BodyBudget
    tips: Tips

    def answer(self, dialect: Dialect) -> Response:
        arrived = self.clock.monotonic()
        seen = observation()
        with self.budget.body_of(request.remote_addr or "") as unproven:

            def proven() -> None:
                seen.signed = True
                unproven.release()

            claim, order, sent = self._decoded(dialect, unproven, arrived)
            seen.username = claim.username
            cancelled = partial(hung_up, request.environ.get("gunicorn.socket"))
            answer = self.service.handle(claim, order, sent, cancelled=cancelled, on_proven=proven)
        seen.recognised(answer)
        response = json_answer(dialect.encode_answer(answer, tips=tip(self.tips, "ok")))
        if answer.quota.remaining is not None:
            response.headers["X-Quota-Remaining"] = str(answer.quota.remaining)
        return response

    def _decoded(self, dialect: Dialect, unproven: UnprovenBody, arrived: float) -> Decoded:
        """Nothing keeps the body itself, which may be megabytes, while the request waits."""
        self.reader.check_length(request)
        _check_media_type(request, dialect)
        body = self.reader.read(request, unproven)
        return dialect.decode(
            Incoming(request, body, g.request_id, request.remote_addr or "", arrived, self.limits)
        )


def blueprint(recogniser: Recogniser) -> Blueprint:
    routes = Blueprint("ocr", __name__)
    for path, dialect in DIALECTS.items():
        routes.add_url_rule(path, path.strip("/"), _view(recogniser, dialect), methods=["POST"])
    return routes


def _view(recogniser: Recogniser, dialect: Dialect) -> Callable[[], Response]:
    @callers("signed")
    @observed("ocr")
    @documented(dialect.OPERATION)
    def recognise() -> Response:
        g.dialect = dialect
        return recogniser.answer(dialect)

    return recognise


def _check_media_type(incoming: Request, dialect: Dialect) -> None:
    charset = incoming.mimetype_params.get("charset", "utf-8").lower()
    encoding = incoming.headers.get("Content-Encoding", "identity").lower()
    if charset not in ("utf-8", "utf8") or encoding != "identity":
        raise MediaTypeUnsupported(f"charset {charset}, encoding {encoding}")
    if incoming.mimetype not in dialect.OPERATION.bodies:
        raise MediaTypeUnsupported(incoming.mimetype)
