"""JSON answers. The type of a body is declared once, beside its route, and is the source of everything else.

Bodies are TypedDicts: mypy checks each where it is built, pydantic derives the schema of /openapi.json from
the type, and json writes the dictionary as it is. Instances of BaseModel would be built first and then turned
into dictionaries, which takes twice as long for a picture of 60 lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from flask import Response
from pydantic import Field
from typing_extensions import TypedDict

JSON = "application/json"

RequestId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Fault(TypedDict, total=False):
    """The field, or the stage of fetching and decoding, that caused a failure."""

    field: str
    stage: str


class Error(Fault):
    """What the caller may know of a failure. status_code: null outside the codes of the contract."""

    status_code: int | None
    error: str
    tips: str
    result: None
    request_id: RequestId


def json_answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """body: JSON values, dates, and dataclasses of app/model/ that have slots."""
    return Response(_encode(body) + "\n", status=status, content_type=f"{JSON}; charset=utf-8")


def _plain(value: Any) -> Any:
    """A dataclass by its fields: dataclasses.asdict copies the values, too, and takes many times as long."""
    return str(value) if isinstance(value, date) else {name: getattr(value, name) for name in value.__slots__}


# No body contains itself, and the check for that takes a quarter of the time.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=_plain).encode
