"""/openapi.json: the contract for programs, generated from the types of requests and answers.

Routes are those of the URL map; each declares its types and codes with operation.documented. Sentences come
from words.yaml and tips.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flask import Flask
from pydantic import BaseModel

from app.errors import ServiceError
from app.version import VERSION
from app.web.answers import JSON, Error
from app.web.dialects import RequestLimits, own
from app.web.operation import PAGE, Operation
from app.web.schemas import Json, Sentences, answer_schema, query_parameters, request_schema

_HTML = {"text/html": {"schema": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class Text:
    """The sentences of one language: words by key, tips by error."""

    words: Sentences
    tips: Sentences


def document(app: Flask, *, limits: RequestLimits, text: Text) -> Json:
    """The whole document, OpenAPI 3.1."""
    operations = _Operations(limits, text)
    paths = {
        path: {method.lower(): operations.write(path, declared) for method, declared in methods.items()}
        for path, methods in routes(app).items()
    }
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
        "components": {"schemas": operations.schemas},
    }


def routes(app: Flask) -> dict[str, dict[str, Operation]]:
    """What each path and method declares, without the pages' own files. Each GET includes HEAD, unnamed."""
    found: dict[str, dict[str, Operation]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        declared = getattr(app.view_functions[rule.endpoint], "operation", PAGE)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if not rule.arguments:
                found.setdefault(rule.rule, {})[method] = declared
    return found


def service_errors() -> list[type[ServiceError]]:
    return sorted(ServiceError.__subclasses__(), key=lambda error: error.status_code)


@dataclass(frozen=True, slots=True)
class _Operations:
    """Writes operations, and collects the schemas that they refer to by name."""

    limits: RequestLimits
    text: Text
    schemas: Json = field(default_factory=dict)

    def write(self, path: str, declared: Operation) -> Json:
        written: Json = {
            "summary": self.text.words[f"route_{path}"],
            "operationId": path.strip("/") or "console",
            "responses": self._answers(declared) | self._errors(declared.errors),
        }
        if declared.description is not None:
            written["description"] = self.text.words[declared.description]
        if declared.query is not None:
            written["parameters"] = query_parameters(declared.query)
        if declared.bodies:
            content = {media: {"schema": self._body(kind)} for media, kind in declared.bodies.items()}
            written["requestBody"] = {"required": True, "content": content}
        return written

    def _body(self, kind: type[BaseModel]) -> Json:
        name = kind.model_config.get("title") or kind.__name__
        self.schemas[name] = request_schema(kind, self.limits, self.text.words)
        return {"$ref": f"#/components/schemas/{name}"}

    def _answer(self, kind: Any) -> Json:
        schema, components = answer_schema(kind, self.text.words)
        self.schemas.update(components)
        return schema

    def _answers(self, declared: Operation) -> Json:
        words = self.text.words
        if not declared.answers:
            return {"200": {"description": words["api_good"], "content": _HTML}}
        return {
            str(http): _response(words[sentence], self._answer(kind))
            for http, (sentence, kind) in declared.answers.items()
        }

    def _errors(self, errors: Sequence[type[ServiceError]]) -> Json:
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
            codes = ", ".join(f"{error.status_code} {error.error}" for error in here)
            schema = {"allOf": [self._answer(Error), narrowed]}
            response = _response(f"{HTTPStatus(http).phrase}: {codes}", schema)
            response["content"][JSON]["examples"] = {error.error: self._example(error) for error in here}
            if http in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
                response["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
            found[str(http)] = response
        return found

    def _example(self, error: type[ServiceError]) -> Json:
        tips = self.text.tips[error.error]
        value = own.encode_error(error(), tips=tips, request_id="01a1fa7b64b87d1f85d026bb6e565df0")
        return {"summary": tips, "value": value}


def _response(description: str, schema: Json) -> Json:
    return {"description": description, "content": {JSON: {"schema": schema}}}
