"""What a route declares of itself for /openapi.json. app/web/openapi.py writes the document from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from app.errors import ServiceError
from app.web.access import View


@dataclass(frozen=True, slots=True)
class Operation:
    """A route without `answers` returns an HTML page. Sentences are keys of words.yaml.

    answers: by HTTP status, a sentence and the type of the JSON body: any that pydantic has a schema for.
    errors: codes of the contract that the route may answer instead, in the service's own format.
    bodies: the fields of the request's body by media type. query: the fields of the query.
    """

    answers: Mapping[int, tuple[str, Any]] = field(default_factory=dict)
    errors: Sequence[type[ServiceError]] = ()
    bodies: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    query: type[BaseModel] | None = None
    description: str | None = None


PAGE = Operation()


def documented(operation: Operation) -> Callable[[View], View]:
    """Attach the description to a view."""

    def mark(view: View) -> View:
        view.operation = operation  # type: ignore[attr-defined]
        return view

    return mark
