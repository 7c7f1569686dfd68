"""GET /usage: a caller's own figures as JSON. The query is signed as the body of POST /ocr is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from flask import Blueprint, Response, g, request
from pydantic import Field
from typing_extensions import TypedDict

from app.authenticate import UNSIGNED_FIELDS, as_signed, require_caller
from app.errors import (
    Busy,
    DependencyUnavailable,
    NonceMissing,
    NonceReplayed,
    OcrFailed,
    RateLimited,
    RequestMalformed,
    SignMissing,
    SignWrong,
    TimestampExpired,
    UserDisabled,
    UsernameMissing,
)
from app.model.account import USERNAME
from app.model.claim import Claim, Value
from app.model.usage import Usage, UsageFigures, UserQuota, UserUsage
from app.ports import Clock
from app.service.report_usage import UsageService
from app.web.access import callers
from app.web.answers import RequestId, json_answer
from app.web.dialects.fields import MAX_VALUE_BYTES, StrictFields, checked, scan_form
from app.web.operation import Operation, documented

DEFAULT_DAYS = 30

ERRORS = (
    UsernameMissing,
    NonceMissing,
    SignMissing,
    SignWrong,
    OcrFailed,
    RequestMalformed,
    TimestampExpired,
    NonceReplayed,
    UserDisabled,
    RateLimited,
    Busy,
    DependencyUnavailable,
)
"""What the route may answer instead."""

Day = Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class UsageQuery(StrictFields, json_schema_extra={"required": ["username", "timestamp", "nonce", "sign"]}):
    """`from` and `to` are days of UTC, both included."""

    username: Annotated[str, Field(pattern=f"^{USERNAME}$")]
    nonce: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{8,64}$")]
    sign: Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]
    sign_method: Literal["hmac-sha256"] | None = None
    timestamp: Annotated[int, Field(ge=0)] | None = None
    first: Day | None = Field(None, alias="from", json_schema_extra={"format": "date"})
    last: Day | None = Field(None, alias="to", json_schema_extra={"format": "date"})
    of: Annotated[str, Field(pattern=rf"^({USERNAME}|\*)$")] | None = None


class Figures(TypedDict):
    """As model.usage.UsageFigures. by_code: requests by status code."""

    requests: int
    by_code: Mapping[int, int]
    pictures: int
    characters: int
    p50_ms: int | None
    p95_ms: int | None


class DayFigures(Figures):
    day: date


UsageAnswer = TypedDict(
    "UsageAnswer",
    {
        "error": None,
        "username": str | None,
        "from": date,
        "to": date,
        "quota": UserQuota | None,
        "total": Figures,
        "days": list[DayFigures],
        "users": tuple[UserUsage, ...] | None,
        "request_id": RequestId,
    },
)
"""A call and no class, since `from` is a word of Python."""

OPERATION = Operation(
    answers={200: ("api_good", UsageAnswer)}, errors=ERRORS, query=UsageQuery, description="api_usage"
)


def blueprint(service: UsageService, *, clock: Clock, max_days: int) -> Blueprint:
    routes = Blueprint("usage", __name__)

    @routes.get("/usage")
    @callers("signed")
    @documented(OPERATION)
    def usage() -> Response:
        fields = _fields()
        require_caller(fields)
        query = checked(UsageQuery, fields)
        first, last = _days(query, today=datetime.fromtimestamp(clock.now(), UTC).date(), max_days=max_days)
        found = service.handle(_claim(query, fields), first=first, last=last, whose=query.of)
        return json_answer(encode(found, request_id=g.request_id))

    return routes


def encode(usage: Usage, *, request_id: str) -> UsageAnswer:
    report = usage.report
    return {
        "error": None,
        "username": usage.username,
        "from": report.first,
        "to": report.last,
        "quota": usage.quota,
        "total": _figures(report.total),
        "days": [{"day": figures.day, **_figures(figures)} for figures in report.days if figures.day],
        "users": usage.users,
        "request_id": request_id,
    }


def _figures(figures: UsageFigures) -> Figures:
    return Figures(
        requests=figures.requests,
        by_code=figures.by_code,
        pictures=figures.pictures,
        characters=figures.characters,
        p50_ms=figures.p50_ms,
        p95_ms=figures.p95_ms,
    )


def _fields() -> dict[str, Value]:
    for name, values in request.args.lists():
        if len(values) > 1 or len(values[0]) > MAX_VALUE_BYTES:
            raise RequestMalformed("named twice, or too long", field=name[:64])
    return scan_form(request.args)


def _days(query: UsageQuery, *, today: date, max_days: int) -> tuple[date, date]:
    last = _day(query.last, "to") or today
    first = _day(query.first, "from") or last - timedelta(days=min(DEFAULT_DAYS, max_days) - 1)
    if not 0 <= (last - first).days < max_days:
        raise RequestMalformed(f"not 1 to {max_days} days", field="from")
    return first, last


def _day(text: str | None, field: str) -> date | None:
    try:
        found = None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise RequestMalformed(str(error), field=field) from error
    if found is not None and not 1970 <= found.year < 9999:
        raise RequestMalformed("year out of range", field=field)
    return found


def _claim(query: UsageQuery, fields: dict[str, Value]) -> Claim:
    return Claim(
        request_id=g.request_id,
        username=query.username,
        nonce=query.nonce,
        sign=query.sign,
        timestamp=query.timestamp,
        legacy=False,
        signed_fields={name: as_signed(v) for name, v in fields.items() if name not in UNSIGNED_FIELDS},
        address=request.remote_addr or "",
    )
