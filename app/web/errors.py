"""The only place that turns a failure into an answer, in the dialect of the route that failed."""

from __future__ import annotations

from collections.abc import Container, Mapping

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.errors import BodyTooLarge, MediaTypeUnsupported, OcrFailed, RequestMalformed, ServiceError
from app.telemetry.logs import log
from app.web.answers import Error, json_answer
from app.web.dialects import Dialect, own
from app.web.observer import observation

Tips = Mapping[str, Mapping[str, str]]

_OURS = {400: RequestMalformed, 413: BodyTooLarge, 415: MediaTypeUnsupported}


def init_app(app: Flask, tips: Tips) -> None:
    def service_error(error: ServiceError) -> Response:
        observation().failed(error)
        dialect: Dialect = g.get("dialect", own)
        body = dialect.encode_error(error, tips=tip(tips, error.error), request_id=g.request_id)
        answer = json_answer(body, error.http)
        if error.retry_after is not None:
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer

    def http_error(error: HTTPException) -> Response:
        """For requests that Flask or Werkzeug refuses."""
        if error.code in _OURS:
            return service_error(_OURS[error.code](error.description or error.name))
        name, tip_name = _http_name(error)
        observation().detail = name
        body = Error(
            status_code=None, error=name, tips=tip(tips, tip_name), result=None, request_id=g.request_id
        )
        answer = json_answer(body, error.code or 500)
        if isinstance(error, MethodNotAllowed):
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return answer

    def bug(error: Exception) -> Response:
        log.error("unexpected error", exc_info=error, extra={"fields": {"request_id": g.request_id}})
        return service_error(OcrFailed(repr(error)))

    app.register_error_handler(ServiceError, service_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, bug)


def tip(tips: Tips, name: str) -> str:
    """The sentence for people, in the caller's language."""
    return tips[name][preferred(tips[name])]


def preferred(languages: Container[str]) -> str:
    """The caller's most preferred one of these languages; English where none is accepted."""
    wanted = (tag.partition("-")[0].lower() for tag in request.accept_languages.values())
    return next((language for language in wanted if language in languages), "en")


def _http_name(error: HTTPException) -> tuple[str, str]:
    """The name of an error outside the contract's codes, and the name of its tip."""
    if isinstance(error, MethodNotAllowed):
        return "method_not_allowed", "use_post" if error.valid_methods == ["POST"] else "method_not_allowed"
    return "not_found", "not_found"
