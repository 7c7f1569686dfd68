"""Errors: one class per status code of the service, and three for errors of the connection."""

from __future__ import annotations

from typing import Any


class OcrError(Exception):
    """A picture was not read.

    holds_for_all: all further pictures would fail in the same way, so a batch ends.
    """

    holds_for_all = False


class Unreachable(OcrError):
    """The connection failed: nothing was sent, and nothing is charged."""

    holds_for_all = True


class AnswerLost(OcrError):
    """The response was lost. The picture may have been read and charged, so it is not sent again."""


class NotTheService(OcrError):
    """The response is not from the service: it is from a proxy, or the URL is not that of `/ocr`."""

    def __init__(self, http: int, request_id: str | None = None) -> None:
        super().__init__(f"HTTP {http}, but not from the OCR service: check the URL, which must end in /ocr")
        self.http = http
        self.request_id = request_id
        self.holds_for_all = http < 500


class ServiceError(OcrError):
    """An error response of the service. `str(error)` is its message for people.

    field, stage: the invalid field or the failed stage, if the service names it. retry_after: in seconds.
    """

    status_code: int

    def __init__(self, body: dict[str, Any], *, http: int, retry_after: float | None) -> None:
        super().__init__(body["tips"])
        self.status_code = body["status_code"]
        self.error: str = body["error"]
        self.field: str | None = body.get("field")
        self.stage: str | None = body.get("stage")
        self.request_id: str | None = body.get("request_id")
        self.http = http
        self.retry_after = retry_after

    def __str__(self) -> str:
        at_fault = ", ".join(filter(None, (self.error, self.field, self.stage, self.request_id)))
        return f"{self.args[0]} ({at_fault})"


class UsernameMissing(ServiceError):
    status_code = 0
    holds_for_all = True


class NonceMissing(ServiceError):
    status_code = 1


class SignMissing(ServiceError):
    status_code = 2


class PictureMissing(ServiceError):
    status_code = 3


class SignWrong(ServiceError):
    """Unknown user or wrong secret; the service does not reveal which."""

    status_code = 4
    holds_for_all = True


class OcrFailed(ServiceError):
    status_code = 5


class RequestMalformed(ServiceError):
    """`field` is invalid: an option's value, or a URL over 2,048 bytes."""

    status_code = 7


class TimestampExpired(ServiceError):
    """The clock of this machine is wrong."""

    status_code = 8
    holds_for_all = True


class NonceReplayed(ServiceError):
    status_code = 9


class UserDisabled(ServiceError):
    status_code = 10
    holds_for_all = True


class QuotaExhausted(ServiceError):
    status_code = 11
    holds_for_all = True


class RateLimited(ServiceError):
    status_code = 12


class PictureUrlNotAllowed(ServiceError):
    status_code = 13


class PictureUnreachable(ServiceError):
    """The service could not download the URL; `stage` names the failed step."""

    status_code = 14


class PictureTooLarge(ServiceError):
    status_code = 15


class PictureUnsupported(ServiceError):
    status_code = 16


class Busy(ServiceError):
    status_code = 17


class DependencyUnavailable(ServiceError):
    status_code = 18


class BodyTooLarge(ServiceError):
    status_code = 19


class MediaTypeUnsupported(ServiceError):
    status_code = 20


BY_CODE = {kind.status_code: kind for kind in ServiceError.__subclasses__()}
