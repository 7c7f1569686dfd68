"""Who may call a route. Each route declares it, "anyone" included; a test walks the URL map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

Callers = Literal["anyone", "signed", "code", "operator"]
View = TypeVar("View", bound=Callable[..., object])


def callers(who: Callers) -> Callable[[View], View]:
    """signed: the request carries a signature. code: the body holds a one-time code.
    operator: Nginx never forwards the route.
    """

    def mark(view: View) -> View:
        view.callers = who  # type: ignore[attr-defined]
        return view

    return mark
