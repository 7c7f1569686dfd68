"""A usage record as a row of usage_records, with the checks of a row that another process made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.model.account import USERNAME
from app.model.usage import RECOGNISED, KeepText, UsageRecord

Count = Annotated[int, Field(ge=0, lt=2**31)]
Moment = Annotated[int, Field(ge=0, lt=2**63)]


class UsageRow(BaseModel):
    """A row of usage_records in one of three states: running (neither finished_at nor status_code), finished
    (both), or lost with its worker (status_code alone: it may still be finished).

    `charged` follows from the state.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    request_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    user_id: Count
    username: Annotated[str, Field(pattern=f"^{USERNAME}$")]
    started_at: Moment
    finished_at: Moment | None = None
    status_code: Count | None = None
    picture_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    picture_width: Count | None = None
    picture_height: Count | None = None
    picture_format: Annotated[str, Field(pattern="^[ -~]{1,16}$")] | None = None
    line_count: Count | None = None
    character_count: Count | None = None
    queue_ms: Count | None = None
    fetch_ms: Count | None = None
    decode_ms: Count | None = None
    ocr_ms: Count | None = None
    total_ms: Count | None = None
    text_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    text: str | None = Field(None, repr=False)

    @model_validator(mode="after")
    def finished_with_status(self) -> Self:
        if self.status_code is None and self.finished_at is not None:
            raise ValueError("a finished record has a status_code")
        return self

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    @property
    def charged(self) -> bool:
        return self.status_code in (None, RECOGNISED)

    def values(self) -> dict[str, Any]:
        return self.model_dump() | {"charged": self.charged}


class InvalidRow(ValueError):
    """The text names each field that is wrong, and what is wrong with it."""


def parsed(row: Mapping[str, Any]) -> UsageRow:
    """row: by UsageRow's fields; numbers may be text. Raises InvalidRow."""
    try:
        return UsageRow.model_validate(row)
    except ValidationError as error:
        problems = (": ".join([*map(str, problem["loc"]), problem["msg"]]) for problem in error.errors())
        raise InvalidRow("; ".join(problems)) from None


def columns(record: UsageRecord, *, keep_text: KeepText) -> dict[str, Any]:
    """The columns that are known once a request has ended, except finished_at."""
    picture, elapsed = record.picture, record.elapsed
    hashed = record.charged and keep_text != "none"
    return {
        "status_code": record.status_code,
        "picture_sha256": picture and picture.sha256,
        "picture_width": picture and picture.width,
        "picture_height": picture and picture.height,
        "picture_format": picture and picture.format,
        "line_count": record.lines,
        "character_count": record.characters,
        "queue_ms": elapsed.queue,
        "fetch_ms": elapsed.fetch,
        "decode_ms": elapsed.decode,
        "ocr_ms": elapsed.ocr,
        "total_ms": elapsed.total,
        "text_sha256": hashlib.sha256(record.text.encode()).hexdigest() if hashed else None,
        "text": record.text if hashed and keep_text == "full" else None,
    }
