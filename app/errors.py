"""Every way in which a request can fail, one class for each status code of the wire contract.

The text given to a class is for our log alone; the caller gets the tip of `config/tips.yaml` for `error`.
`app/web/errors.py` is the only place that turns one into an answer.
"""

from __future__ import annotations


class ServiceError(Exception):
    """detail: for the log. field, stage, retry_after (seconds): the only parts a caller may see."""

    status_code: int
    error: str
    http: int

    def __init__(
        self,
        detail: str = "",
        *,
        field: str | None = None,
        stage: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.stage = stage
        self.retry_after = retry_after


class UsernameMissing(ServiceError):
    status_code, error, http = 0, "username_missing", 400


class NonceMissing(ServiceError):
    status_code, error, http = 1, "nonce_missing", 400


class SignMissing(ServiceError):
    status_code, error, http = 2, "sign_missing", 400


class PictureMissing(ServiceError):
    status_code, error, http = 3, "picture_missing", 400


class SignWrong(ServiceError):
    """An unknown user or a wrong signature: one answer for both."""

    status_code, error, http = 4, "sign_wrong", 401


class OcrFailed(ServiceError):
    status_code, error, http = 5, "ocr_failed", 500


class RequestMalformed(ServiceError):
    status_code, error, http = 7, "request_malformed", 400


class TimestampExpired(ServiceError):
    status_code, error, http = 8, "timestamp_expired", 401


class NonceReplayed(ServiceError):
    status_code, error, http = 9, "nonce_replayed", 409


class UserDisabled(ServiceError):
    status_code, error, http = 10, "user_disabled", 403


class QuotaExhausted(ServiceError):
    status_code, error, http = 11, "quota_exhausted", 429


class RateLimited(ServiceError):
    status_code, error, http = 12, "rate_limited", 429


class PictureUrlNotAllowed(ServiceError):
    status_code, error, http = 13, "picture_url_not_allowed", 422


class PictureUnreachable(ServiceError):
    """stage: dns, connect, tls, timeout, redirect, http or body."""

    status_code, error, http = 14, "picture_unreachable", 422


class PictureTooLarge(ServiceError):
    """stage: decode, where no header foretold what it would cost."""

    status_code, error, http = 15, "picture_too_large", 422


class PictureUnsupported(ServiceError):
    """stage: decode, where it crashed the decoder."""

    status_code, error, http = 16, "picture_unsupported", 422


class Busy(ServiceError):
    status_code, error, http = 17, "busy", 503


class DependencyUnavailable(ServiceError):
    status_code, error, http = 18, "dependency_unavailable", 503


class BodyTooLarge(ServiceError):
    status_code, error, http = 19, "body_too_large", 413


class MediaTypeUnsupported(ServiceError):
    status_code, error, http = 20, "media_type_unsupported", 415
