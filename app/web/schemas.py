"""JSON Schema of the types that requests and answers have, as pydantic derives it.

A description in a type is a key of words.yaml, which `words` holds in one language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from app.web.dialects import RequestLimits

Json = dict[str, Any]
Sentences = Mapping[str, str]


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Request(_Untitled):
    """A field that is not sent is absent, never null."""

    def nullable_schema(self, schema: Any) -> Json:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> Json:
        return {name: value for name, value in super().default_schema(schema).items() if value is not None}


class _Answer(_Untitled):
    """Objects hold exactly their fields: a default is written like any other value, and nothing is added."""

    def default_schema(self, schema: Any) -> Json:
        return self.generate_inner(schema["schema"])

    def field_is_required(self, field: Any, total: bool) -> bool:
        return field["type"] == "dataclass-field" or super().field_is_required(field, total)

    def typed_dict_schema(self, schema: Any) -> Json:
        return _closed(super().typed_dict_schema(schema))

    def dataclass_schema(self, schema: Any) -> Json:
        return _closed(super().dataclass_schema(schema))


def _closed(schema: Json) -> Json:
    """Without the class's docstring, which is written for readers of the code."""
    named = {name: value for name, value in schema.items() if name not in ("title", "description")}
    return named | {"additionalProperties": False}


def request_schema(kind: type[BaseModel], limits: RequestLimits, words: Sentences) -> Json:
    """Of the fields of a body, with the bounds that the settings give."""
    schema = kind.model_json_schema(schema_generator=_Request)
    bounds = limits.bounds()
    for name, form in schema["properties"].items():
        form |= bounds.get(name, {})
        if f"field_{name}" in words:
            form["description"] = words[f"field_{name}"]
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


def query_parameters(kind: type[BaseModel]) -> list[Json]:
    """The fields of a query, as OpenAPI writes them."""
    schema = kind.model_json_schema(schema_generator=_Request)
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": form}
        for name, form in schema["properties"].items()
    ]


def answer_schema(kind: Any, words: Sentences) -> tuple[Json, Json]:
    """The schema of a body, and the components that it refers to by name."""
    schemas, definitions = TypeAdapter.json_schemas(
        [("body", "serialization", TypeAdapter(kind))],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Answer,
    )
    return schemas["body", "serialization"], _described(definitions.get("$defs", {}), words)


def _described(schema: Any, words: Sentences) -> Any:
    if isinstance(schema, list):
        return [_described(part, words) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: words[part] if key == "description" else _described(part, words) for key, part in schema.items()
    }
