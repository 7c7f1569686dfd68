"""Authenticate a request: labels -> timestamp -> signature -> picture -> enabled. Pure; also signs, for
clients and tests.

The string to sign is every field but `sign` and `picture_base64`, sorted by name, each `name=value`
percent-encoded (all but the unreserved characters of RFC 3986, section 2.3) and joined by `&`. The encoding
is one-to-one: an `&nonce=` inside a URL cannot pass for a field.
"""

from __future__ import annotations

import hashlib
import hmac
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

_HEX = frozenset("0123456789abcdef")
_NOBODY = ("a secret that nobody has", "and another, since a user may have two")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturePolicy:
    """max_age_s, max_ahead_s: how far a timestamp may lie behind and ahead of our clock, in seconds.

    legacy_nonce_days: how long a nonce without a signed timestamp is remembered.
    longest_request_s: an upper bound of the time that a request takes.
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
    """Return the account whose secret signed the request; `require_permitted` checks what else it needs.

    now: Unix seconds. Raises TimestampExpired, SignWrong or DependencyUnavailable.

    An unknown user gets the same answer as a wrong signature, after the same look-ups and as many computed
    signatures: an account in memory or in a cache suffices to accept a signature, but not to reject it.
    """
    _check_timestamp(claim, now, policy)
    signer = _signature_check(claim)
    remembered = signer(accounts.remembered(claim.username))
    if remembered is not None:
        return remembered
    found = accounts.cached(claim.username)
    cached = signer(found.account)
    if cached is not None and found.fresh:
        return cached
    try:
        account = accounts.find(claim.username)
    except DependencyUnavailable:
        if cached is not None:
            return cached
        raise
    if (stored := signer(account)) is None:
        raise SignWrong("unknown user" if account is None else "wrong signature")
    return stored


def require_permitted(claim: Claim, account: Account, sent: PictureSource | None = None) -> None:
    """Check what the account's signature alone does not prove: the picture that was sent, and the user.

    Raises SignWrong, RequestMalformed or UserDisabled.
    """
    if sent is not None and not _covers(claim, sent()):
        raise SignWrong("another picture than was signed")
    if not account.enabled:
        raise UserDisabled(claim.username)


def nonce_ttl_s(claim: Claim, *, now: float, policy: SignaturePolicy) -> float:
    """Seconds for which this nonce must be remembered: until its timestamp has expired, and as long as a
    request may take, since a request that arrived in time may spend its nonce only at its end.

    With a fixed time a body dated ahead could be replayed after its nonce was forgotten.
    """
    if claim.timestamp is None or claim.legacy:
        return policy.legacy_nonce_days * 86_400
    return claim.timestamp + policy.max_age_s - now + policy.longest_request_s


def sign(secret: str, fields: Mapping[str, str]) -> str:
    """hex(HMAC-SHA256(secret, string to sign)); fields: as written in the string to sign."""
    return _sign_string(secret, string_to_sign(fields))


def sign_legacy(secret: str, username: str, nonce: str) -> str:
    """The original service's signature: it covers neither picture nor time."""
    message = f"username={username}&password={secret}&nonce={nonce}"
    return hashlib.md5(message.encode(), usedforsecurity=False).hexdigest()


def as_signed(value: Value) -> str:
    """Return a field's value as written in the string to sign."""
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


def _signature_check(claim: Claim) -> Callable[[Account | None], Account | None]:
    """A function that returns the account if one of its secrets made `sign`, else None.

    It computes as many signatures for no account as for any, so that its time says nothing about the user.
    The string to sign is written once, for all accounts that are checked.
    """
    if not _is_hex(claim.sign, digits=32 if claim.legacy else 64):
        return lambda account: None
    given, expected = claim.sign.encode(), _expected_sign(claim)

    def signer(account: Account | None) -> Account | None:
        usable = account is not None and (account.allow_legacy_sign or not claim.legacy)
        secrets = account.secrets if account is not None and usable else ()
        matches = [hmac.compare_digest(given, expected(secret).encode()) for secret in _padded(secrets)]
        return account if any(matches[: len(secrets)]) else None

    return signer


def _is_hex(text: str, *, digits: int) -> bool:
    return len(text) == digits and _HEX.issuperset(text)


def _padded(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """As many secrets as a user may have, so that every check computes as many signatures."""
    return (*secrets, *_NOBODY)[: len(_NOBODY)]


def _expected_sign(claim: Claim) -> Callable[[str], str]:
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
