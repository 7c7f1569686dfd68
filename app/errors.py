"""Every error of a request: one class per status code of the wire contract.

An error's detail goes to the log only; the caller gets the message for `error` in `config/tips.yaml`. Only
`app/web/errors.py` turns an error into a response.
"""

from __future__ import annotations


class ServiceError(Exception):
    """detail: for the log only. field, stage, retry_after (seconds): sent to the caller."""

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
    """An unknown user or a wrong signature; the caller cannot distinguish them."""

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
    """stage: "decode" if the header was within the limits, but decoding exceeded its budget."""

    status_code, error, http = 15, "picture_too_large", 422


class PictureUnsupported(ServiceError):
    """stage: "decode" if the picture crashed the decoder."""

    status_code, error, http = 16, "picture_unsupported", 422


class Busy(ServiceError):
    status_code, error, http = 17, "busy", 503


class DependencyUnavailable(ServiceError):
    status_code, error, http = 18, "dependency_unavailable", 503


class BodyTooLarge(ServiceError):
    status_code, error, http = 19, "body_too_large", 413


class MediaTypeUnsupported(ServiceError):
    status_code, error, http = 20, "media_type_unsupported", 415
