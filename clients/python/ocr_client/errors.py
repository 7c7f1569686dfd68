"""What may go wrong: one class for each status code of the service, and three for what happens on the way."""

from __future__ import annotations

from typing import Any


class OcrError(Exception):
    """A picture was not read.

    holds_for_all: the next picture would fail in the same way, so a batch ends here.
    """

    holds_for_all = False


class Unreachable(OcrError):
    """No connection came about: nothing was sent, nothing is charged."""

    holds_for_all = True


class AnswerLost(OcrError):
    """A request was sent and no answer came: it may have been read and charged, so it is not sent again."""


class NotTheService(OcrError):
    """Something else answered: a proxy, or the URL is not that of `/ocr`."""

    def __init__(self, http: int, request_id: str | None = None) -> None:
        super().__init__(
            f"HTTP {http}, but not from the OCR service: is the URL right, with /ocr at its end?"
        )
        self.http = http
        self.request_id = request_id
        self.holds_for_all = http < 500


class ServiceError(OcrError):
    """The service's own answer. `str(error)` is its sentence for people.

    field, stage: what is at fault, where the service says so. retry_after: seconds to wait.
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
    """An unknown user or a wrong secret; the service does not say which."""

    status_code = 4
    holds_for_all = True


class OcrFailed(ServiceError):
    status_code = 5


class RequestMalformed(ServiceError):
    """`field` has the wrong form: an option's value, or a URL of over 2,048 bytes."""

    status_code = 7


class TimestampExpired(ServiceError):
    """This machine's clock is wrong."""

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
    """The service could not fetch the URL; `stage` says how far it came."""

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
