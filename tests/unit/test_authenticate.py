from __future__ import annotations

import hashlib
import hmac
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from app.authenticate import (
    SignaturePolicy,
    authenticate,
    nonce_ttl_s,
    require_labels,
    require_permitted,
    sign,
    sign_legacy,
    string_to_sign,
)
from app.errors import (
    NonceMissing,
    PictureMissing,
    ServiceError,
    SignMissing,
    SignWrong,
    TimestampExpired,
    UserDisabled,
    UsernameMissing,
)
from app.model.account import Account, CachedAccount
from app.model.claim import Claim
from app.ports import PictureSource
from tests.fakes import FakeAccounts

if TYPE_CHECKING:
    from _collections_abc import dict_items

NOW = 1_800_000_000
POLICY = SignaturePolicy(max_age_s=300, max_ahead_s=60, legacy_nonce_days=30, longest_request_s=120)
ALICE = Account(1, "alice", ("new secret", "old secret"))
LEGACY = Account(2, "legacy", ("their secret",), allow_legacy_sign=True)
ACCOUNTS = FakeAccounts(ALICE, LEGACY, Account(3, "gone", ("a secret",), enabled=False))


def claim(**changes: object) -> Claim:
    """A claim of alice's, signed with her newer secret after the changes unless they bring a sign."""
    made = Claim(
        request_id="0" * 32,
        username="alice",
        nonce="nonce-0001",
        sign="",
        timestamp=NOW,
        legacy=False,
        signed_fields={},
    )
    made = replace(made, **changes)  # type: ignore[arg-type]
    fields = {"username": made.username, "nonce": made.nonce, "timestamp": str(made.timestamp)}
    fields |= {"picture_url": "https://example.com/a.png"} | dict(made.signed_fields)
    return replace(made, signed_fields=fields, sign=made.sign or sign("new secret", fields))


def legacy_claim(**changes: object) -> Claim:
    made = {"username": "legacy", "nonce": "7", "timestamp": None, "legacy": True}
    return claim(**made | {"sign": sign_legacy("their secret", "legacy", "7")} | changes)


def admitted(asked: Claim, sent: PictureSource | None = None, now: float = NOW) -> Account:
    account = authenticate(asked, ACCOUNTS, now=now, policy=POLICY)
    require_permitted(asked, account, sent)
    return account


def test_a_signed_request_is_its_users() -> None:
    assert admitted(claim()) is ALICE


def test_both_active_secrets_sign() -> None:
    asked = claim()
    assert admitted(replace(asked, sign=sign("old secret", asked.signed_fields))) is ALICE


def test_the_string_to_sign_is_the_contracts() -> None:
    """Written out by hand from the contract, without our code."""
    fields = {"b": "~-._", "a": "x&nonce=1 é", "sign": "left out", "picture_base64": "left out"}
    assert string_to_sign(fields) == "a=x%26nonce%3D1%20%C3%A9&b=~-._"
    expected = hmac.new(b"key", b"a=x%26nonce%3D1%20%C3%A9&b=~-._", hashlib.sha256).hexdigest()
    assert sign("key", fields) == expected


@pytest.mark.parametrize(
    "field", ["username", "nonce", "timestamp", "picture_url", "picture_sha256", "boxes", "min_score"]
)
def test_any_field_changed_after_signing_is_refused(field: str) -> None:
    asked = claim(signed_fields={"picture_sha256": "0" * 64, "boxes": "true", "min_score": "0.5"})
    changed = dict(asked.signed_fields) | {field: asked.signed_fields[field] + "0"}
    with pytest.raises(SignWrong):
        admitted(replace(asked, signed_fields=changed))


def test_fields_cannot_be_split_anew() -> None:
    signature = claim(signed_fields={"picture_url": "https://x/?a=1&nonce=nonce-0002"}).sign
    split = {"picture_url": "https://x/?a=1", "nonce": "nonce-0002"}
    with pytest.raises(SignWrong):
        admitted(claim(nonce="nonce-0002", signed_fields=split, sign=signature))


@pytest.mark.parametrize(
    "sign_",
    [
        "0" * 64,
        claim().sign[:-1],
        claim().sign.upper(),
        claim().sign + "0",
        "é" * 64,
        "０" * 64,
        "\n",
        "0" * 32,
    ],
)
def test_a_wrong_sign_is_refused_whatever_its_form(sign_: str) -> None:
    with pytest.raises(SignWrong):
        admitted(claim(sign=sign_))


def test_an_unknown_user_cannot_be_told_from_a_wrong_sign() -> None:
    errors = []
    for asked in (claim(username="nobody"), claim(sign="0" * 64)):
        with pytest.raises(ServiceError) as caught:
            admitted(asked)
        errors.append((type(caught.value), caught.value.field, caught.value.stage))
    assert errors[0] == errors[1] == (SignWrong, None, None)


class Fields(dict[str, str]):
    """Counts how often the string to sign is written."""

    written = 0

    def items(self) -> dict_items[str, str]:
        self.written += 1
        return super().items()


class AnotherSecret(FakeAccounts):
    """The user's secret was replaced a moment ago, which only the database knows."""

    OLD = replace(ALICE, secrets=("replaced",))

    def remembered(self, username: str) -> Account:
        return self.OLD

    def cached(self, username: str) -> CachedAccount:
        return CachedAccount(self.OLD, fresh=True)


@pytest.mark.parametrize(("sign_", "written"), [("", 1), ("0" * 64, 1), ("no hex", 0)])
def test_the_string_to_sign_is_written_once_for_all_accounts(sign_: str, written: int) -> None:
    asked = claim(sign=sign_)
    asked = replace(asked, signed_fields=Fields(asked.signed_fields))
    with nullcontext() if sign_ == "" else pytest.raises(SignWrong):
        assert authenticate(asked, AnotherSecret(ALICE), now=NOW, policy=POLICY) is ALICE
    assert asked.signed_fields.written == written  # type: ignore[attr-defined]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "account", [None, ALICE, replace(ALICE, secrets=("one",)), replace(ALICE, secrets=())]
)
def test_every_account_costs_as_many_signatures_as_none(
    account: Account | None, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[object] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: compared.append(pair))
    wrong = claim(sign="0" * (32 if legacy else 64), legacy=legacy)
    with pytest.raises(SignWrong):
        authenticate(wrong, FakeAccounts(*([account] if account else [])), now=NOW, policy=POLICY)
    assert len(compared) == 6  # two secrets each, as remembered, as cached and as stored


def test_another_users_sign_is_refused() -> None:
    asked = claim(username="legacy")
    with pytest.raises(SignWrong):
        admitted(asked)


@pytest.mark.parametrize("age", [-60, 0, 300])
def test_a_timestamp_inside_the_window_is_good(age: int) -> None:
    assert admitted(claim(timestamp=NOW - age)) is ALICE


@pytest.mark.parametrize("timestamp", [NOW - 301, NOW + 61, NOW * 1000, 0, 10**17, None])
def test_a_timestamp_outside_the_window_is_refused(timestamp: int | None) -> None:
    with pytest.raises(TimestampExpired):
        admitted(claim(timestamp=timestamp))


def test_a_disabled_user_is_told_so_only_after_a_good_signature() -> None:
    asked = claim(username="gone")
    with pytest.raises(SignWrong):
        admitted(asked)
    with pytest.raises(UserDisabled):
        admitted(replace(asked, sign=sign("a secret", asked.signed_fields)))


def test_a_sent_picture_must_have_the_signed_digest() -> None:
    digest = hashlib.sha256(b"picture").hexdigest()
    bound = claim(signed_fields={"picture_sha256": digest})
    assert admitted(bound, lambda: b"picture") is ALICE
    for asked, picture in ((bound, b"another"), (claim(), b"picture")):
        with pytest.raises(SignWrong):
            admitted(asked, partial(bytes, picture))


def test_nobody_but_a_proven_caller_gets_a_picture_decoded() -> None:
    def decoded() -> bytes:
        raise AssertionError("decoded")

    for asked in (claim(sign="0" * 64), claim(username="nobody"), claim(timestamp=NOW - 301)):
        with pytest.raises(ServiceError):
            admitted(asked, decoded)


def test_the_original_scheme_is_for_users_who_may() -> None:
    """md5("username=<u>&password=<secret>&nonce=<n>"), as clients of the original service compute it."""
    digest = hashlib.md5(b"username=legacy&password=their secret&nonce=7").hexdigest()  # noqa: S324
    assert admitted(legacy_claim(sign=digest)) is LEGACY
    theirs = sign_legacy("new secret", "alice", "7")
    with pytest.raises(SignWrong):
        admitted(legacy_claim(username="alice", sign=theirs))
    with pytest.raises(SignWrong):
        admitted(legacy_claim(sign=digest[:-1] + "x"))


def test_a_nonce_is_remembered_until_its_timestamp_expires() -> None:
    """Dated ahead, a body stays good for longer than the age limit: so must its nonce."""
    assert nonce_ttl_s(claim(timestamp=NOW + 60), now=NOW, policy=POLICY) == 480
    assert nonce_ttl_s(claim(timestamp=NOW - 300), now=NOW, policy=POLICY) == 120
    assert nonce_ttl_s(legacy_claim(), now=NOW, policy=POLICY) == 30 * 86_400


@pytest.mark.parametrize("value", [None, "", 5, True])
@pytest.mark.parametrize(
    ("label", "error"),
    [
        ("username", UsernameMissing),
        ("nonce", NonceMissing),
        ("sign", SignMissing),
        ("picture_url", PictureMissing),
    ],
)
def test_a_missing_label_has_an_error_of_its_own(
    label: str, error: type[ServiceError], value: object
) -> None:
    fields: dict[str, object] = {"username": "u", "nonce": "n", "sign": "s", "picture_url": "p"}
    require_labels(fields)
    with pytest.raises(error) as caught:
        require_labels(fields | {label: value})
    assert caught.value.field == label
