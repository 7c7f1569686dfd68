"""The log line and the metrics of a request, written once its answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from flask import Flask, Response, current_app, g, request

from app.errors import ServiceError
from app.model.reading import OcrAnswer
from app.model.usage import RECOGNISED
from app.telemetry.logs import log
from app.telemetry.metrics import Metrics
from app.web.access import View


@dataclass(slots=True)
class Observation:
    """What the view and the error handlers know of a request. signed: its signature is right."""

    username: str | None = None
    signed: bool = False
    status_code: int | None = None
    detail: str = ""
    stage: str | None = None
    answer: OcrAnswer | None = None

    def recognised(self, answer: OcrAnswer) -> None:
        self.status_code, self.answer = RECOGNISED, answer

    def failed(self, error: ServiceError) -> None:
        self.status_code, self.detail, self.stage = error.status_code, error.detail, error.stage


def observation() -> Observation:
    """Of the current request."""
    current: Observation = g.observation
    return current


def observed(event: str) -> Callable[[View], View]:
    """Count a view's requests, and log each as this event; requests of other views are neither."""

    def mark(view: View) -> View:
        view.observed_as = event  # type: ignore[attr-defined]
        return view

    return mark


class Observer:
    """Handlers for every route of the application."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def init_app(self, app: Flask) -> None:
        app.before_request(self._begin)
        app.after_request(self._end)

    def _begin(self) -> None:
        g.observation = Observation()

    def _end(self, response: Response) -> Response:
        view = current_app.view_functions.get(request.endpoint or "")
        event: str | None = getattr(view, "observed_as", None)
        if event is not None:
            self._write(event, observation(), response)
        return response

    def _write(self, event: str, seen: Observation, response: Response) -> None:
        self._metrics.answered(seen.status_code, seen.answer, stage=seen.stage, signed=seen.signed)
        line = {
            "request_id": g.request_id,
            "address": request.remote_addr,
            "username": seen.username,
            "status_code": seen.status_code,
            "http": response.status_code,
            "detail": seen.detail or None,
            "stage": seen.stage,
            "elapsed_ms": seen.answer and asdict(seen.answer.elapsed),
        }
        log.info(event, extra={"fields": {name: value for name, value in line.items() if value is not None}})
