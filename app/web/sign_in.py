"""POST /sign-in: exchanges the one-time code of a sign-in link for the user's secret; for the pages."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Request, Response, g, request
from pydantic import Field
from typing_extensions import TypedDict

from app.errors import (
    BodyTooLarge,
    DependencyUnavailable,
    MediaTypeUnsupported,
    OcrFailed,
    RateLimited,
    RequestMalformed,
    SignWrong,
    UserDisabled,
    UsernameMissing,
)
from app.model.account import USERNAME
from app.service.sign_in import SignInService
from app.telemetry.logs import log
from app.web.access import callers
from app.web.answers import JSON, RequestId, json_answer
from app.web.body import BodyReader
from app.web.dialects.fields import StrictFields, checked, scan_json
from app.web.operation import Operation, documented

MAX_BODY_BYTES = 1024  # so few that the budget of unproven bodies need not count them

ERRORS = (
    UsernameMissing,
    SignWrong,
    OcrFailed,
    RequestMalformed,
    UserDisabled,
    RateLimited,
    DependencyUnavailable,
    BodyTooLarge,
    MediaTypeUnsupported,
)
"""What the route may answer instead."""


class SignInBody(StrictFields):
    username: Annotated[str, Field(pattern=f"^{USERNAME}$")]
    code: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class SignedIn(TypedDict):
    error: None
    username: str
    secret: str
    request_id: RequestId


OPERATION = Operation(
    answers={200: ("api_good", SignedIn)}, errors=ERRORS, bodies={JSON: SignInBody}, description="api_sign_in"
)


def blueprint(service: SignInService, *, reader: BodyReader) -> Blueprint:
    routes = Blueprint("sign_in", __name__)

    @routes.post("/sign-in")
    @callers("code")
    @documented(OPERATION)
    def sign_in() -> Response:
        _require_same_origin(request)
        body = _body(request, reader)
        address = request.remote_addr or ""
        account = service.handle(body.username, body.code, address=address)
        known = {"request_id": g.request_id, "address": address, "username": account.username}
        log.info("signed in by a link", extra={"fields": known})
        answer = SignedIn(
            error=None, username=account.username, secret=account.secrets[0], request_id=g.request_id
        )
        return json_answer(answer)

    @routes.after_request
    def not_stored(answer: Response) -> Response:
        answer.headers["Cache-Control"] = "no-store"
        return answer

    return routes


def _require_same_origin(incoming: Request) -> None:
    """Refuse requests that a page of another site makes. Programs other than browsers send neither header.

    On plain http browsers omit Sec-Fetch-Site, so that Origin decides.
    """
    origin = incoming.headers.get("Origin", "")
    site = incoming.headers.get("Sec-Fetch-Site") or (
        "same-origin" if not origin or origin.partition("://")[2] == incoming.host else "cross-site"
    )
    if site != "same-origin":
        raise RequestMalformed("from a page of another site", field="Origin")


def _body(incoming: Request, reader: BodyReader) -> SignInBody:
    reader.check_length(incoming)
    if incoming.mimetype != JSON:
        raise MediaTypeUnsupported(incoming.mimetype)
    return checked(SignInBody, scan_json(reader.read(incoming)))
