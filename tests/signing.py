"""A client for the tests: makes signed bodies the way the contract says."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from app.authenticate import as_signed, sign, sign_legacy


@dataclass(frozen=True)
class Caller:
    username: str
    secret: str = field(repr=False)

    def body(self, *, picture: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """The fields of a JSON body. A field given as None is left out; `sign` overrides the signature."""
        made: dict[str, Any] = {
            "username": self.username,
            "timestamp": int(time.time()),
            "nonce": secrets.token_urlsafe(12),
        }
        if picture is not None:
            made["picture_base64"] = base64.b64encode(picture).decode()
            made["picture_sha256"] = hashlib.sha256(picture).hexdigest()
        made = {name: value for name, value in (made | fields).items() if value is not None}
        signature = sign(self.secret, {name: as_signed(value) for name, value in made.items()})
        return {"sign": signature} | made

    def legacy_body(self, **fields: Any) -> dict[str, Any]:
        """As clients of the original service send it: no time, a short nonce."""
        nonce = fields.pop("nonce", "7")
        signature = sign_legacy(self.secret, self.username, nonce)
        return {"username": self.username, "nonce": nonce, "sign": signature} | fields
