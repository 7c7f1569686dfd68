"""Who may call a route. Each one says so itself, "anyone" included; a test walks the URL map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

Callers = Literal["anyone", "signed", "code", "operator"]
View = TypeVar("View", bound=Callable[..., object])


def callers(who: Callers) -> Callable[[View], View]:
    """signed: the body's own signature is checked. code: the body holds a one-time code.
    operator: never proxied by Nginx.
    """

    def mark(view: View) -> View:
        view.callers = who  # type: ignore[attr-defined]
        return view

    return mark
