"""Request signatures. `signing-vectors.json`, next to this package, has examples."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import quote

Value = str | int | bool

NOT_SIGNED = frozenset({"sign", "picture_base64"})


def as_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def string_to_sign(fields: Mapping[str, Value]) -> str:
    return "&".join(
        f"{quote(name, safe='')}={quote(as_text(fields[name]), safe='')}"
        for name in sorted(fields.keys() - NOT_SIGNED)
    )


def sign(secret: str, fields: Mapping[str, Value]) -> str:
    return hmac.digest(secret.encode(), string_to_sign(fields).encode(), "sha256").hex()
