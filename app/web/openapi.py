"""/openapi.json: the contract for programs, made of what the code itself checks with.

Field forms are RequestBody's, codes those of app/errors.py, routes those of the URL map, sentences those of
words.yaml and tips.yaml. By hand are the bounds that codec.py checks beyond a field's form, which picture
fields go together, the shapes of an answer's lines and of an error, and the answers of the routes without a
picture; tests hold real answers to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from werkzeug.routing import Map

from app.errors import ServiceError
from app.fetch.url import MAX_URL_BYTES
from app.model.account import Quota
from app.model.reading import Elapsed, PictureInfo
from app.model.usage import RECOGNISED
from app.version import VERSION
from app.web import sign_in, usage
from app.web.dialects.own import MIN_NONCE, RequestBody, RequestLimits, encode_error

Json = dict[str, Any]
Sentences = Mapping[str, str]

JSON = "application/json"
HTML = "text/html"
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_REQUEST_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


@dataclass(frozen=True, slots=True)
class Text:
    """What is said in one language: words by key, tips by error."""

    words: Sentences
    tips: Sentences


def document(url_map: Map, *, limits: RequestLimits, text: Text) -> Json:
    """The whole of it, OpenAPI 3.1."""
    paths: Json = {}
    for path, methods in routes(url_map).items():
        for method in methods:
            paths.setdefault(path, {})[method.lower()] = _operation(path, text)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": text.words["brand"],
            "version": VERSION,
            "description": text.words["api_signing"],
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": _schemas(limits, text)},
    }


def routes(url_map: Map) -> dict[str, list[str]]:
    """Methods by path, but for the pages' own files. HEAD comes with each GET and is not named."""
    found: dict[str, list[str]] = {}
    for rule in url_map.iter_rules():
        if not rule.arguments:
            found.setdefault(rule.rule, []).extend(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
    return dict(sorted(found.items()))


def service_errors() -> list[type[ServiceError]]:
    return sorted(ServiceError.__subclasses__(), key=lambda error: error.status_code)


def request_fields(limits: RequestLimits, words: Sentences) -> Json:
    """The schema of each field of the body, with what codec.py checks beyond its form."""
    bounds: Json = {
        "nonce": {"minLength": MIN_NONCE},
        "sign": {"pattern": "^([0-9a-f]{64}|[0-9a-f]{32})$"},
        "picture_url": {"format": "uri", "pattern": "^https?://", "maxLength": MAX_URL_BYTES},
        "picture_base64": {
            "contentEncoding": "base64",
            "minLength": 4,
            "pattern": _BASE64,
            "maxLength": limits.max_body_bytes,
        },
        "sign_method": {"default": "hmac-sha256"},
        "side_limit": {"maximum": limits.max_side_limit},
        "timeout_ms": {
            "minimum": limits.min_timeout_ms,
            "maximum": limits.max_timeout_ms,
            "default": limits.timeout_ms,
        },
    }
    return {
        name: _plain(form) | bounds.get(name, {}) | {"description": words[f"field_{name}"]}
        for name, form in RequestBody.model_json_schema()["properties"].items()
    }


def _plain(form: Json) -> Json:
    """Without what pydantic adds: a title, and the null of a field that is simply not sent."""
    form = {name: value for name, value in form.items() if name != "title" and value is not None}
    alternatives = [kind for kind in form.pop("anyOf", []) if kind != {"type": "null"}]
    return form | (alternatives[0] if alternatives else {})


def _schemas(limits: RequestLimits, text: Text) -> Json:
    fields = request_fields(limits, text.words)
    image = {"type": "string", "contentMediaType": "application/octet-stream"}
    in_form = {name: form for name, form in fields.items() if name != "picture_base64"}
    in_form["image"] = image | {"description": text.words["field_image"]}
    return {
        "Request": _request(fields, "picture_base64"),
        "FormRequest": _request(in_form, "image"),
        "Answer": _answer(text.words),
        "Error": _error(),
        **{kind.__name__: _record(kind) for kind in (PictureInfo, Elapsed, Quota)},
    }


def _request(fields: Json, picture: str) -> Json:
    """Exactly one of a URL and a sent picture, and the digest of the latter."""
    sent = {"required": [picture, "picture_sha256"]}
    alone = {"not": {"anyOf": [{"required": [picture]}, {"required": ["picture_sha256"]}]}}
    return {
        "type": "object",
        "properties": fields,
        "required": ["username", "timestamp", "nonce", "sign"],
        "additionalProperties": False,
        "oneOf": [
            {"required": ["picture_url"], **alone},
            {**sent, "not": {"required": ["picture_url"]}},
        ],
    }


def _record(kind: type) -> Json:
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    properties = {
        name: {key: value for key, value in form.items() if key not in ("title", "default")}
        for name, form in schema["properties"].items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _answer(words: Sentences) -> Json:
    point = {"type": "array", "prefixItems": [{"type": "integer"}] * 2, "minItems": 2, "maxItems": 2}
    line: Json = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "box": {
                "type": "array",
                "items": point,
                "minItems": 4,
                "maxItems": 4,
                "description": words["api_box"],
            },
        },
        "required": ["text", "score"],
        "additionalProperties": False,
    }
    properties: Json = {
        "status_code": {"const": RECOGNISED},
        "error": {"type": "null"},
        "tips": {"type": "string"},
        "result": {"type": "string", "description": words["api_result"]},
        "lines": {"type": "array", "items": line, "description": words["api_lines"]},
        "picture": _ref("PictureInfo"),
        "model": {"type": "string"},
        "elapsed_ms": _ref("Elapsed"),
        "quota": _ref("Quota"),
        "request_id": _REQUEST_ID,
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _error() -> Json:
    properties: Json = {
        "status_code": {"type": ["integer", "null"]},
        "error": {"type": "string"},
        "tips": {"type": "string"},
        "result": {"type": "null"},
        "field": {"type": "string"},
        "stage": {"type": "string"},
        "request_id": _REQUEST_ID,
    }
    required = [name for name in properties if name not in ("field", "stage")]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _operation(path: str, text: Text) -> Json:
    operation: Json = {"summary": text.words[f"route_{path}"], "operationId": path.strip("/") or "console"}
    if path == "/ocr":
        bodies = {JSON: _content("Request"), "multipart/form-data": _content("FormRequest")}
        answers = {"200": _response(text.words["api_answer"], _ref("Answer"))}
        refusals = errors_by_status(service_errors(), text.tips)
        return operation | {
            "description": text.words["api_signing"],
            "requestBody": {"required": True, "content": bodies},
            "responses": answers | refusals,
        }
    if path == "/usage":
        return operation | {
            "description": text.words["api_usage"],
            "parameters": usage.parameters(),
            "responses": {"200": _response(text.words["api_good"], usage.schema())}
            | errors_by_status(usage.ERRORS, text.tips),
        }
    if path == "/sign-in":
        body, answer = _record(sign_in.SignInBody), _record(sign_in.SignedIn)
        return operation | {
            "description": text.words["api_sign_in"],
            "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
            "responses": {"200": _response(text.words["api_good"], answer)}
            | errors_by_status(sign_in.ERRORS, text.tips),
        }
    return operation | {"responses": _plain_responses(path, text.words)}


def _plain_responses(path: str, words: Sentences) -> Json:
    """Of routes that cannot fail in a way of the contract."""
    good, unavailable = words["api_good"], words["api_not_ready"]
    status = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    return {
        "/healthz": {"200": _response(good, status)},
        "/readyz": {"200": _response(good, status), "503": _response(unavailable, status)},
        "/openapi.json": {"200": _response(good, {"type": "object"})},
    }.get(path) or {"200": {"description": good, "content": {HTML: {"schema": {"type": "string"}}}}}


def errors_by_status(errors: Sequence[type[ServiceError]], tips: Sentences) -> Json:
    """One response for each HTTP status, which names the codes that come with it."""
    found: Json = {}
    for http in sorted({error.http for error in errors}):
        here = [error for error in errors if error.http == http]
        narrowed = {
            "properties": {
                "status_code": {"enum": [error.status_code for error in here]},
                "error": {"enum": [error.error for error in here]},
            }
        }
        description = f"{HTTPStatus(http).phrase}: " + ", ".join(f"{e.status_code} {e.error}" for e in here)
        response = _response(description, {"allOf": [_ref("Error"), narrowed]})
        response["content"][JSON]["examples"] = {error.error: _example(error, tips) for error in here}
        if http in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            response["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
        found[str(http)] = response
    return found


def _example(error: type[ServiceError], tips: Sentences) -> Json:
    value = encode_error(error(), tips=tips[error.error], request_id="01a1fa7b64b87d1f85d026bb6e565df0")
    return {"summary": tips[error.error], "value": value}


def _response(description: str, schema: Json) -> Json:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _content(schema: str) -> Json:
    return {"schema": _ref(schema)}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
