"""Bytes <-> Claim, ReadOrder and OcrAnswer: the whole wire format.

The JSON accepted is a small regular language, one flat object of strings, integers and booleans, and is
scanned as such: a general parser accepts what must be refused (duplicate keys, NaN), and nested input makes
it recurse or fill the memory before anyone can look at the result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.authenticate import LABELS, UNSIGNED_FIELDS, as_signed, require_labels
from app.errors import RequestMalformed, ServiceError
from app.fetch.url import MAX_URL_BYTES
from app.model.account import USERNAME
from app.model.claim import Claim, Value
from app.model.reading import CharsetName, OcrAnswer, ReadOptions, ReadOrder
from app.model.usage import RECOGNISED
from app.ports import PictureSource
from app.web.body import decode_base64

MAX_FIELDS = 32
MAX_VALUE_BYTES = 8192  # of any field but picture_base64, as written in the body
MAX_SPACE_BYTES = 1000  # between two tokens, so that megabytes of it cost nothing
MIN_NONCE = 8

_SPACE = rb"[ \t\n\r]{0,%d}+" % MAX_SPACE_BYTES
_INTEGER = rb"-?(?:0|[1-9][0-9]{0,17})"
_EMPTY = re.compile(rb"%b\{%b\}%b" % (_SPACE, _SPACE, _SPACE))
_BEGIN = re.compile(rb"%b\{" % _SPACE)
_NAME = re.compile(rb'%b"([A-Za-z0-9_]{1,64})"%b:%b' % (_SPACE, _SPACE, _SPACE))
_VALUE = re.compile(
    rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"|(?:%b|true|false)(?=[ \t\n\r,}])' % _INTEGER
)
_OTHER_VALUE = re.compile(rb"null|[\[{0-9-]")
_NEXT = re.compile(rb"%b([,}])" % _SPACE)
_END = re.compile(rb"%b\Z" % _SPACE)

_FORM_INTEGERS = ("timestamp", "side_limit", "timeout_ms")
_FORM_BOOLEANS = ("boxes", "orient")


class RequestBody(BaseModel):
    """The fields of the contract and the form of each."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    username: Annotated[str, Field(pattern=rf"^{USERNAME}$")]
    nonce: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    sign: str
    sign_method: Literal["hmac-sha256", "md5"] | None = None
    timestamp: Annotated[int, Field(ge=0)] | None = None
    picture_url: str | None = None
    picture_base64: str | None = None
    picture_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    boxes: bool = True
    min_score: Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")] = "0.5"
    side_limit: Annotated[int, Field(ge=64)] | None = None
    charset: CharsetName | None = None
    orient: bool = False
    timeout_ms: int | None = None

    @property
    def legacy(self) -> bool:
        """Whether the original scheme was used: it is named, or known by its short sign without a time."""
        if self.sign_method is None:
            return self.timestamp is None and len(self.sign) == 32
        return self.sign_method == "md5"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What a request may hold and ask for: times in milliseconds, the side in pixels."""

    max_body_bytes: int
    timeout_ms: int
    min_timeout_ms: int
    max_timeout_ms: int
    max_side_limit: int


def scan_json(body: bytes | bytearray) -> dict[str, Value]:
    """The fields of one flat JSON object. Raises RequestMalformed, or a label's own error for its value.

    picture_base64 is only cut out, as it is written: nobody has proven yet to be worth the time of megabytes.
    """
    fields: dict[str, Value] = {}
    if _EMPTY.fullmatch(body):
        return fields
    token = _BEGIN.match(body) or _refuse("not an object")
    while token[0][-1:] != b"}":
        token = _NAME.match(body, token.end()) or _refuse("no name")
        name = token[1].decode()
        if name in fields or len(fields) == MAX_FIELDS:
            _refuse("named twice, or too many fields", name)
        fields[name], end = _value(body, token.end(), name)
        token = _NEXT.match(body, end) or _refuse("no comma or closing brace", name)
    if not _END.match(body, token.end()):
        _refuse("more after the object")
    return fields


def scan_form(form: Mapping[str, str]) -> dict[str, Value]:
    """The fields of a multipart form: the same values as in JSON, written as text."""
    fields: dict[str, Value] = dict(form)
    for name, text in form.items():
        if name in _FORM_INTEGERS and re.fullmatch(_INTEGER.decode(), text):
            fields[name] = int(text)
        elif name in _FORM_BOOLEANS and text in ("true", "false"):
            fields[name] = text == "true"
    return fields


def decode_request(
    fields: Mapping[str, Value],
    image: bytes | None,
    *,
    request_id: str,
    arrived: float,
    limits: RequestLimits,
    address: str = "",
) -> tuple[Claim, ReadOrder, PictureSource | None]:
    """Check the labels, then the form of each field. Raises ServiceError.

    image: the file of a multipart form. arrived: on the monotonic clock, in seconds.
    Returns who asks, what is to be done, and the picture where it was sent instead of its URL.
    """
    require_labels(fields if image is None else {**fields, "image": "given"})
    try:
        body = RequestBody.model_validate(fields)
    except ValidationError as error:
        _refuse(error.errors()[0]["msg"], str(error.errors()[0]["loc"][0]))
    _check_forms(body, image, limits)
    timeout_ms = body.timeout_ms or limits.timeout_ms
    claim = Claim(
        request_id=request_id,
        username=body.username,
        nonce=body.nonce,
        sign=body.sign,
        timestamp=body.timestamp,
        legacy=body.legacy,
        signed_fields={name: as_signed(v) for name, v in fields.items() if name not in UNSIGNED_FIELDS},
        address=address,
    )
    options = ReadOptions(body.boxes, float(body.min_score), body.side_limit, body.charset, body.orient)
    order = ReadOrder(body.picture_url, arrived + timeout_ms / 1000, options)
    return claim, order, _picture(body, image)


def encode_answer(answer: OcrAnswer, *, tips: str) -> dict[str, Any]:
    """The body of a success: lines in reading order, boxes in pixels of the upright picture, times in ms."""
    page = answer.reading.page
    lines: list[dict[str, Any]] = [{"text": line.text, "score": round(line.score, 4)} for line in page.lines]
    if answer.boxes:
        for encoded, line in zip(lines, page.lines, strict=True):
            encoded["box"] = line.box
    return {
        "status_code": RECOGNISED,
        "error": None,
        "tips": tips,
        "result": page.text,
        "lines": lines,
        "picture": asdict(answer.reading.picture),
        "model": page.model,
        "elapsed_ms": asdict(answer.elapsed),
        "quota": asdict(answer.quota),
        "request_id": answer.request_id,
    }


def encode_error(error: ServiceError, *, tips: str, request_id: str) -> dict[str, Any]:
    """The body of a failure: what the caller may know, and nothing of the error's own text."""
    body: dict[str, Any] = {
        "status_code": error.status_code,
        "error": error.error,
        "tips": tips,
        "result": None,
    }
    if error.field is not None:
        body["field"] = error.field
    if error.stage is not None:
        body["stage"] = error.stage
    return body | {"request_id": request_id}


def _refuse(why: str, field: str | None = None) -> NoReturn:
    raise RequestMalformed(why, field=field)


def _value(body: bytes | bytearray, at: int, name: str) -> tuple[Value, int]:
    """The value that begins here, and where it ends."""
    if name == "picture_base64" and body[at : at + 1] == b'"':
        end = body.find(b'"', at + 1)
        if end < 0:
            _refuse("no end", name)
        return _text(memoryview(body)[at + 1 : end], name), end + 1
    token = _VALUE.match(body, at, at + MAX_VALUE_BYTES)
    if token is None:
        # A label with a null, number, list or object for its value is as good as missing.
        kind = LABELS.get(name, RequestMalformed) if _OTHER_VALUE.match(body, at) else RequestMalformed
        raise kind("neither integer nor boolean, and no string that ends in time", field=name)
    try:
        value: Value = json.loads(_text(token[0], name))
        if isinstance(value, str):
            value.encode("utf-8")  # a lone surrogate is no character
    except ValueError:
        _refuse("wrong escape", name)
    if isinstance(value, str) and "\0" in value:
        raise RequestMalformed("NUL", field=name)
    return value, token.end()


def _text(token: bytes | memoryview, name: str) -> str:
    try:
        return str(token, "utf-8")
    except UnicodeDecodeError:
        _refuse("not UTF-8", name)


def _check_forms(body: RequestBody, image: bytes | None, limits: RequestLimits) -> None:
    """What one field's form alone does not say."""
    sent = image is not None or body.picture_base64 is not None
    timeout_ms = limits.timeout_ms if body.timeout_ms is None else body.timeout_ms
    wrong = {
        "nonce": len(body.nonce) < MIN_NONCE and not body.legacy,
        "picture_url": body.picture_url is not None
        and (sent or len(body.picture_url.encode()) > MAX_URL_BYTES),
        "picture_base64": body.picture_base64 is not None and image is not None,
        "picture_sha256": sent != (body.picture_sha256 is not None),
        "side_limit": (body.side_limit or 0) > limits.max_side_limit,
        "timeout_ms": not limits.min_timeout_ms <= timeout_ms <= limits.max_timeout_ms,
    }
    for name, refused in wrong.items():
        if refused:
            raise RequestMalformed("wrong form", field=name)


def _picture(body: RequestBody, image: bytes | None) -> PictureSource | None:
    if body.picture_base64 is not None:
        return cache(partial(decode_base64, body.picture_base64))
    return None if image is None else lambda: image
