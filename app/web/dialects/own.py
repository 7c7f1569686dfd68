"""The service's own wire format: flat signed JSON, or the same fields as a form, for one picture.

docs/api.md is its contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, create_model
from typing_extensions import TypedDict

from app.authenticate import UNSIGNED_FIELDS, as_signed, require_labels
from app.errors import RequestMalformed, ServiceError
from app.fetch.url import MAX_URL_BYTES
from app.model.account import USERNAME, Quota
from app.model.claim import Claim, Value
from app.model.reading import CharsetName, Elapsed, OcrAnswer, PictureInfo, Point, ReadOptions, ReadOrder
from app.model.usage import RECOGNISED
from app.ports import PictureSource
from app.web.answers import JSON, Error, Fault, RequestId
from app.web.body import decode_base64
from app.web.dialects import Decoded, Incoming, RequestLimits
from app.web.dialects.fields import StrictFields, checked, scan_json
from app.web.multipart import read_form
from app.web.operation import Operation

MIN_NONCE = 8
FORM = "multipart/form-data"


def _schema(**schema: Any) -> Any:
    """A part of a field's schema that a later step checks, with an error of its own."""
    return Field(json_schema_extra=schema)


_URL = _schema(format="uri", pattern="^https?://", maxLength=MAX_URL_BYTES)
_BASE64 = _schema(
    contentEncoding="base64",
    minLength=4,
    pattern="^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
)


def _one_picture(sent: str) -> dict[str, Any]:
    """Exactly one of a URL and a sent picture, the latter with its digest."""
    alone = {"not": {"anyOf": [{"required": [sent]}, {"required": ["picture_sha256"]}]}}
    return {
        "required": ["username", "timestamp", "nonce", "sign"],
        "oneOf": [
            {"required": ["picture_url"], **alone},
            {"required": [sent, "picture_sha256"], "not": {"required": ["picture_url"]}},
        ],
    }


class RequestBody(StrictFields, title="Request", json_schema_extra=_one_picture("picture_base64")):
    """The fields of the contract and the form of each."""

    username: Annotated[str, Field(pattern=rf"^{USERNAME}$")]
    nonce: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$"), _schema(minLength=MIN_NONCE)]
    sign: Annotated[str, _schema(pattern="^([0-9a-f]{64}|[0-9a-f]{32})$")]
    sign_method: Annotated[Literal["hmac-sha256", "md5"] | None, _schema(default="hmac-sha256")] = None
    timestamp: Annotated[int, Field(ge=0)] | None = None
    picture_url: Annotated[str | None, _URL] = None
    picture_base64: Annotated[str | None, _BASE64] = None
    picture_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    boxes: bool = True
    min_score: Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")] = "0.5"
    side_limit: Annotated[int, Field(ge=64)] | None = None
    charset: CharsetName | None = None
    orient: bool = False
    timeout_ms: int | None = None

    @property
    def legacy(self) -> bool:
        """Whether the original scheme was used: it is named, or the sign is short and has no timestamp."""
        if self.sign_method is None:
            return self.timestamp is None and len(self.sign) == 32
        return self.sign_method == "md5"


_FORM_FIELDS: dict[str, Any] = {
    name: (field.annotation, field)
    for name, field in RequestBody.model_fields.items()
    if name != "picture_base64"
}
_FORM_FIELDS["image"] = (Annotated[str | None, _schema(contentMediaType="application/octet-stream")], None)
FormBody = create_model(
    "FormRequest",
    __base__=StrictFields,
    __cls_kwargs__={"json_schema_extra": _one_picture("image")},
    **_FORM_FIELDS,
)
"""The schema of the same fields as a form, with the file `image` instead of picture_base64."""


class AnswerLine(TypedDict):
    """box: absent where the request says so."""

    text: str
    score: Annotated[float, Field(ge=0, le=1)]
    box: NotRequired[Annotated[Sequence[Point], Field(min_length=4, max_length=4, description="api_box")]]


class Answer(TypedDict):
    """Lines in reading order, boxes in pixels of the upright picture, times in milliseconds."""

    status_code: Literal[6]
    error: None
    tips: str
    result: Annotated[str, Field(description="api_result")]
    lines: Annotated[list[AnswerLine], Field(description="api_lines")]
    picture: PictureInfo
    model: str
    elapsed_ms: Elapsed
    quota: Quota
    request_id: RequestId


OPERATION = Operation(
    answers={200: ("api_answer", Answer)},
    errors=ServiceError.__subclasses__(),
    bodies={JSON: RequestBody, FORM: FormBody},
    description="api_signing",
)


def decode(incoming: Incoming) -> Decoded:
    """As dialects.Dialect, from JSON or a form."""
    if incoming.http.mimetype == JSON:
        fields, image = scan_json(incoming.body), None
    else:
        fields, image = read_form(incoming.http, incoming.body)
    return decode_request(
        fields,
        image,
        request_id=incoming.request_id,
        arrived=incoming.arrived,
        limits=incoming.limits,
        address=incoming.address,
    )


def decode_request(
    fields: Mapping[str, Value],
    image: bytes | None,
    *,
    request_id: str,
    arrived: float,
    limits: RequestLimits,
    address: str = "",
) -> Decoded:
    """Check the labels, then the form of each field. Raises ServiceError.

    image: the file of a multipart form. arrived: on the monotonic clock, in seconds.
    """
    require_labels(fields if image is None else {**fields, "image": "given"})
    body = checked(RequestBody, fields)
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


def encode_answer(answer: OcrAnswer, *, tips: str) -> Answer:
    page = answer.reading.page
    lines = [AnswerLine(text=line.text, score=round(line.score, 4)) for line in page.lines]
    if answer.boxes:
        for encoded, line in zip(lines, page.lines, strict=True):
            encoded["box"] = line.box
    return Answer(
        status_code=RECOGNISED,
        error=None,
        tips=tips,
        result=page.text,
        lines=lines,
        picture=answer.reading.picture,
        model=page.model,
        elapsed_ms=answer.elapsed,
        quota=answer.quota,
        request_id=answer.request_id,
    )


def encode_error(error: ServiceError, *, tips: str, request_id: str) -> Error:
    fault = Fault()
    if error.field is not None:
        fault["field"] = error.field
    if error.stage is not None:
        fault["stage"] = error.stage
    return {
        "status_code": error.status_code,
        "error": error.error,
        "tips": tips,
        "result": None,
        **fault,
        "request_id": request_id,
    }


def _check_forms(body: RequestBody, image: bytes | None, limits: RequestLimits) -> None:
    """Check what depends on several fields or on the settings. Raises RequestMalformed."""
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
