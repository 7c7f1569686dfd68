"""GET /usage: a caller's own figures as JSON, signed as a picture is, in the query instead of a body."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

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
from app.web.dialects.own import MAX_VALUE_BYTES, scan_form
from app.web.errors import json_answer

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
"""What may be answered instead."""

Day = Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class UsageQuery(BaseModel):
    """The fields and the form of each; `from` and `to` are days of UTC, both included."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    username: Annotated[str, Field(pattern=f"^{USERNAME}$")]
    nonce: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{8,64}$")]
    sign: str
    sign_method: Literal["hmac-sha256"] | None = None
    timestamp: Annotated[int, Field(ge=0)] | None = None
    first: Day | None = Field(None, alias="from")
    last: Day | None = Field(None, alias="to")
    of: Annotated[str, Field(pattern=rf"^({USERNAME}|\*)$")] | None = None


def blueprint(service: UsageService, *, clock: Clock, max_days: int) -> Blueprint:
    routes = Blueprint("usage", __name__)

    @routes.get("/usage")
    @callers("signed")
    def usage() -> Response:
        fields = _fields()
        require_caller(fields)
        query = _checked(fields)
        first, last = _days(query, today=datetime.fromtimestamp(clock.now(), UTC).date(), max_days=max_days)
        told = service.handle(_claim(query, fields), first=first, last=last, whose=query.of)
        return json_answer(encode(told) | {"request_id": g.request_id})

    return routes


def parameters() -> list[dict[str, Any]]:
    """Of the query, as OpenAPI writes them; a timestamp is needed as well, though its lack has a code."""
    schema = UsageQuery.model_json_schema()
    required = {*schema["required"], "timestamp"}
    beyond = {"sign": {"pattern": "^[0-9a-f]{64}$"}, "from": {"format": "date"}, "to": {"format": "date"}}
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _not_null(form) | beyond.get(name, {}),
        }
        for name, form in schema["properties"].items()
    ]


def schema() -> dict[str, Any]:
    """Of the answer."""
    counts = _properties(UsageFigures) | {"by_code": {"type": "object"}}
    day = {"type": "string", "format": "date"}
    figures = {name: form for name, form in counts.items() if name != "day"}
    quota = _object(_properties(UserQuota))
    user = _object(_properties(UserUsage) | {"quota": quota})
    return _object(
        {
            "error": {"type": "null"},
            "username": {"type": ["string", "null"]},
            "from": day,
            "to": day,
            "quota": {"anyOf": [quota, {"type": "null"}]},
            "total": _object(figures),
            "days": {"type": "array", "items": _object(figures | {"day": day})},
            "users": {"anyOf": [{"type": "array", "items": user}, {"type": "null"}]},
            "request_id": {"type": "string"},
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _properties(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = TypeAdapter(kind).json_schema(mode="serialization")["properties"]
    return found


def _not_null(form: dict[str, Any]) -> dict[str, Any]:
    """What is simply not sent is never null."""
    alternatives = [kind for kind in form.get("anyOf", [form]) if kind != {"type": "null"}]
    return {name: value for name, value in alternatives[0].items() if name not in ("title", "default")}


def encode(usage: Usage) -> dict[str, Any]:
    report = usage.report
    return {
        "error": None,
        "username": usage.username,
        "from": str(report.first),
        "to": str(report.last),
        "quota": usage.quota and _plain(usage.quota),
        "total": _encoded(report.total),
        "days": [{"day": str(figures.day)} | _encoded(figures) for figures in report.days],
        "users": None if usage.users is None else [_encoded_user(user) for user in usage.users],
    }


def _encoded_user(user: UserUsage) -> dict[str, Any]:
    return _plain(user) | {"quota": _plain(user.quota)}


def _encoded(figures: UsageFigures) -> dict[str, Any]:
    plain = _plain(figures) | {"by_code": {str(code): n for code, n in figures.by_code.items()}}
    del plain["day"]
    return plain


def _plain(record: UserUsage | UserQuota | UsageFigures) -> dict[str, Any]:
    """By field. dataclasses.asdict copies the values as well, takes many times as long, and stops the loop
    where there are a thousand users.
    """
    return {name: getattr(record, name) for name in record.__slots__}


def _fields() -> dict[str, Value]:
    for name, values in request.args.lists():
        if len(values) > 1 or len(values[0]) > MAX_VALUE_BYTES:
            raise RequestMalformed("named twice, or too long", field=name[:64])
    return scan_form(request.args)


def _checked(fields: dict[str, Value]) -> UsageQuery:
    try:
        return UsageQuery.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        raise RequestMalformed(problem["msg"], field=str(problem["loc"][0])[:64]) from error


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
        raise RequestMalformed("no year of ours", field=field)
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
