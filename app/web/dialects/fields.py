"""The flat fields of a request, for every dialect: strict scanners, limits, checks of each field's form.

The JSON accepted is a small regular language: one flat object of strings, integers and booleans. A general
parser would accept what must be refused (duplicate keys, NaN), and nested input would make it recurse or fill
the memory before anyone can check the result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.authenticate import LABELS
from app.errors import RequestMalformed
from app.model.claim import Value

MAX_FIELDS = 32
MAX_VALUE_BYTES = 8192  # of any field but picture_base64, as written in the body
MAX_SPACE_BYTES = 1000  # between two tokens, so that a body of white space costs nothing

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

M = TypeVar("M", bound="StrictFields")


class StrictFields(BaseModel):
    """A model of a request's fields, each with its form: no other field, no conversion of types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def scan_json(body: bytes | bytearray) -> dict[str, Value]:
    """The fields of one flat JSON object. Raises RequestMalformed, or a label's own error for its value.

    picture_base64 is cut out but not decoded: megabytes are worth no time before the caller is authenticated.
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
    """The fields of a form or a query: the same values as in JSON, written as text."""
    fields: dict[str, Value] = dict(form)
    for name, text in form.items():
        if name in _FORM_INTEGERS and re.fullmatch(_INTEGER.decode(), text):
            fields[name] = int(text)
        elif name in _FORM_BOOLEANS and text in ("true", "false"):
            fields[name] = text == "true"
    return fields


def checked(kind: type[M], fields: Mapping[str, Value]) -> M:
    """The fields as a model. Raises RequestMalformed, which names the first field of wrong form."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        raise RequestMalformed(problem["msg"], field=str(problem["loc"][0])[:64]) from error


def _refuse(why: str, field: str | None = None) -> NoReturn:
    raise RequestMalformed(why, field=field)


def _value(body: bytes | bytearray, at: int, name: str) -> tuple[Value, int]:
    """The value that starts at this offset, and the offset of its end."""
    if name == "picture_base64" and body[at : at + 1] == b'"':
        end = body.find(b'"', at + 1)
        if end < 0:
            _refuse("no end", name)
        return _text(memoryview(body)[at + 1 : end], name), end + 1
    token = _VALUE.match(body, at, at + MAX_VALUE_BYTES)
    if token is None:
        # A label whose value is a null, number, list or object counts as missing.
        kind = LABELS.get(name, RequestMalformed) if _OTHER_VALUE.match(body, at) else RequestMalformed
        raise kind("neither integer nor boolean, nor a string within the limit", field=name)
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
