"""POST /ocr: bytes in, the service's story, bytes out."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from flask import Blueprint, Request, Response, g, request

from app.errors import MediaTypeUnsupported
from app.model.claim import Value
from app.model.reading import OcrAnswer
from app.model.usage import RECOGNISED
from app.ports import Clock
from app.service.recognise import OcrService
from app.telemetry.logs import log
from app.telemetry.metrics import Metrics
from app.web.access import callers
from app.web.body import BodyReader, hung_up
from app.web.budget import BodyBudget, UnprovenBody
from app.web.dialects.own import RequestLimits, decode_request, encode_answer, scan_json
from app.web.errors import Tips, json_answer, tip
from app.web.multipart import read_form


def blueprint(
    service: OcrService,
    *,
    clock: Clock,
    limits: RequestLimits,
    reader: BodyReader,
    budget: BodyBudget,
    metrics: Metrics,
    tips: Tips,
) -> Blueprint:
    routes = Blueprint("ocr", __name__)

    @routes.post("/ocr")
    @callers("signed")
    def recognise() -> Response:
        arrived = clock.monotonic()
        address = request.remote_addr or ""
        with budget.body_of(address) as unproven:

            def proven() -> None:
                g.signed = True
                unproven.release()

            fields, image = _fields(request, reader, unproven)
            claim, order, sent = decode_request(
                fields, image, request_id=g.request_id, arrived=arrived, limits=limits, address=address
            )
            cancelled = partial(hung_up, request.environ.get("gunicorn.socket"))
            g.username = claim.username
            answer = service.handle(claim, order, sent, cancelled=cancelled, on_proven=proven)
        g.outcome, g.answer = (RECOGNISED, ""), answer
        response = json_answer(encode_answer(answer, tips=tip(tips, "ok")))
        if answer.quota.remaining is not None:
            response.headers["X-Quota-Remaining"] = str(answer.quota.remaining)
        return response

    @routes.after_request
    def observed(answer: Response) -> Response:
        status_code, detail = g.outcome
        recognised: OcrAnswer | None = g.get("answer")
        metrics.answered(status_code, recognised, stage=g.get("stage"), signed=g.get("signed", False))
        line = {
            "request_id": g.request_id,
            "address": request.remote_addr,
            "username": g.get("username"),
            "status_code": status_code,
            "http": answer.status_code,
            "detail": detail or None,
            "stage": g.get("stage"),
            "elapsed_ms": recognised and asdict(recognised.elapsed),
        }
        log.info("ocr", extra={"fields": {name: value for name, value in line.items() if value is not None}})
        return answer

    return routes


def _fields(
    incoming: Request, reader: BodyReader, unproven: UnprovenBody
) -> tuple[dict[str, Value], bytes | None]:
    """Size, content type, strict parse. The image of a multipart form comes apart from its fields."""
    reader.check_length(incoming)
    charset = incoming.mimetype_params.get("charset", "utf-8").lower()
    encoding = incoming.headers.get("Content-Encoding", "identity").lower()
    if charset not in ("utf-8", "utf8") or encoding != "identity":
        raise MediaTypeUnsupported(f"charset {charset}, encoding {encoding}")
    if incoming.mimetype not in ("application/json", "multipart/form-data"):
        raise MediaTypeUnsupported(incoming.mimetype)
    body = reader.read(incoming, unproven)
    return (scan_json(body), None) if incoming.mimetype == "application/json" else read_form(incoming, body)
