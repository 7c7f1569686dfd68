"""Who sent a request: labels -> timestamp -> signature -> picture -> enabled. Pure; also signs, for clients
and tests.

The string to sign is every field but `sign` and `picture_base64`, sorted by name, each `name=value`
percent-encoded as RFC 3986 section 2.3 asks and joined by `&`. The encoding makes it one-to-one: no `&nonce=`
inside a URL can pass for a field.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from app.errors import (
    DependencyUnavailable,
    NonceMissing,
    PictureMissing,
    ServiceError,
    SignMissing,
    SignWrong,
    TimestampExpired,
    UserDisabled,
    UsernameMissing,
)
from app.model.account import Account
from app.model.claim import Claim, Value
from app.ports import Accounts, PictureSource

UNSIGNED_FIELDS = frozenset({"sign", "picture_base64"})
PICTURE_FIELDS = ("picture_url", "picture_base64", "image")
LABELS: Mapping[str, type[ServiceError]] = {
    "username": UsernameMissing,
    "nonce": NonceMissing,
    "sign": SignMissing,
    **dict.fromkeys(PICTURE_FIELDS, PictureMissing),
}

_HEX_DIGITS = {"hmac-sha256": 64, "md5": 32}
_NOBODY = ("a secret that nobody has", "and another, since a user may have two")


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """How far a timestamp may lie from our clock, and how long a nonce without timestamp is kept.

    longest_request_s: longer than any request may take.
    """

    max_age_s: int
    max_ahead_s: int
    legacy_nonce_days: int
    longest_request_s: float


def require_caller(fields: Mapping[str, object]) -> None:
    """Raise the error of the first label that is missing: absent, empty or not a string."""
    for name in ("username", "nonce", "sign"):
        if not _given(fields.get(name)):
            raise LABELS[name](f"no {name}", field=name)


def require_labels(fields: Mapping[str, object]) -> None:
    """As require_caller, and with a picture."""
    require_caller(fields)
    if not any(_given(fields.get(name)) for name in PICTURE_FIELDS):
        raise PictureMissing("no picture", field=PICTURE_FIELDS[0])


def authenticate(claim: Claim, accounts: Accounts, *, now: float, policy: SignaturePolicy) -> Account:
    """The account whose secret signed this request; `require_permitted` says whether it may go on.

    now: Unix seconds. Raises TimestampExpired, SignWrong or DependencyUnavailable. An unknown user gets the
    same answer as a wrong signature, after the same look-ups and as many signatures were computed: what this
    process or a cache knows is enough to let a caller in, but not to refuse one.
    """
    _check_timestamp(claim, now, policy)
    remembered = accounts.remembered(claim.username)
    if _signed_by(claim, remembered) and remembered is not None:
        return remembered
    cached = accounts.cached(claim.username)
    proven = cached.account if _signed_by(claim, cached.account) else None
    if proven is not None and cached.fresh:
        return proven
    try:
        account = accounts.find(claim.username)
    except DependencyUnavailable:
        if proven is not None:
            return proven
        raise
    if not _signed_by(claim, account) or account is None:
        raise SignWrong("unknown user" if account is None else "wrong signature")
    return account


def require_permitted(claim: Claim, account: Account, sent: PictureSource | None = None) -> None:
    """Check what the account's signature alone does not prove: the picture that was sent, and the user.

    Raises SignWrong, RequestMalformed or UserDisabled.
    """
    if sent is not None and not _covers(claim, sent()):
        raise SignWrong("another picture than was signed")
    if not account.enabled:
        raise UserDisabled(claim.username)


def nonce_ttl_s(claim: Claim, *, now: float, policy: SignaturePolicy) -> float:
    """How long this nonce must be remembered: until its timestamp has expired, and as long as a request may
    take: one whose timestamp was good when it came may ask for its nonce only at its end.

    A fixed time would let a body dated ahead be replayed after its nonce was forgotten.
    """
    if claim.timestamp is None or claim.legacy:
        return policy.legacy_nonce_days * 86_400
    return claim.timestamp + policy.max_age_s - now + policy.longest_request_s


def sign(secret: str, fields: Mapping[str, str]) -> str:
    """hex(HMAC-SHA256(secret, string to sign)) of the fields as they are written there."""
    return _sign_string(secret, string_to_sign(fields))


def sign_legacy(secret: str, username: str, nonce: str) -> str:
    """The original service's signature: it covers neither picture nor time."""
    message = f"username={username}&password={secret}&nonce={nonce}"
    return hashlib.md5(message.encode(), usedforsecurity=False).hexdigest()


def as_signed(value: Value) -> str:
    """A field's value as it is written in the string to sign."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def string_to_sign(fields: Mapping[str, str]) -> str:
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in sorted(fields.items())
        if name not in UNSIGNED_FIELDS
    )


def _given(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _check_timestamp(claim: Claim, now: float, policy: SignaturePolicy) -> None:
    if claim.timestamp is None:
        if claim.legacy:
            return
        raise TimestampExpired("no timestamp", field="timestamp")
    age = now - claim.timestamp
    if not -policy.max_ahead_s <= age <= policy.max_age_s:
        raise TimestampExpired(f"{age:.0f} s old", field="timestamp")


def _signed_by(claim: Claim, account: Account | None) -> bool:
    """Whether one of the account's secrets made `sign`; every secret is tried, so that time tells nothing."""
    usable = account is not None and (account.allow_legacy_sign or not claim.legacy)
    secrets = account.secrets if account is not None and usable else ()
    if not re.fullmatch(f"[0-9a-f]{{{_HEX_DIGITS['md5' if claim.legacy else 'hmac-sha256']}}}", claim.sign):
        return False
    given, expected = claim.sign.encode(), _signer(claim)
    matches = [
        hmac.compare_digest(given, expected(secret).encode())
        for secret in (*secrets, *_NOBODY)[: len(_NOBODY)]
    ]
    return any(matches[: len(secrets)])


def _signer(claim: Claim) -> Callable[[str], str]:
    """Secret -> the signature that it makes of this claim."""
    if claim.legacy:
        return partial(sign_legacy, username=claim.username, nonce=claim.nonce)
    return partial(_sign_string, signed=string_to_sign(claim.signed_fields))


def _sign_string(secret: str, signed: str) -> str:
    return hmac.digest(secret.encode(), signed.encode(), "sha256").hex()


def _covers(claim: Claim, picture: bytes) -> bool:
    """Whether the signed digest is the picture's; the signature covers a sent picture by its digest alone."""
    signed = claim.signed_fields.get("picture_sha256", "")
    return hmac.compare_digest(hashlib.sha256(picture).hexdigest(), signed)
