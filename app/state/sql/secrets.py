"""Encryption of the users' secrets in the database: Fernet (AES-128-CBC and HMAC-SHA256), with a key file."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.errors import DependencyUnavailable


class KeyFileError(RuntimeError):
    """The key file cannot be used; the text names it and the remedy."""


def new_secret() -> str:
    """256 random bits, in characters that need no quoting in a shell or a URL."""
    return secrets.token_urlsafe(32)


class SecretUnreadable(DependencyUnavailable):
    """The key of a secret is lost: not the caller's fault, so the answer is that of a failed dependency."""


class SecretBox:
    """Encrypts with the first line of the key file and decrypts with every line.

    To change the key, insert a new first line and restart; remove the old line after every user's secret was
    rotated. The file is read at the first use, and created if it does not exist. Every method raises
    KeyFileError if the file is unusable or readable by other users.
    """

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def load(self) -> None:
        """Read the key now, so that a bad file stops the start instead of failing the first request."""
        _ = self._fernet

    @cached_property
    def _fernet(self) -> MultiFernet:
        try:
            if not self._key_file.exists():
                _create(self._key_file)
            return MultiFernet(_read(self._key_file))
        except OSError as error:
            raise KeyFileError(f"key file {self._key_file}: {error.strerror}") from error

    def encrypt(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Raises SecretUnreadable if the token was encrypted with none of the keys."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable(
                f"a stored secret was encrypted with a key that is not in {self._key_file}: "
                "put that key back as a further line, or rotate the user's secret"
            ) from None


def _create(key_file: Path) -> None:
    """Write a temporary file and link it: processes that start at once all get the same complete key."""
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=key_file.parent, prefix=f".{key_file.name}-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, key_file)
    finally:
        os.unlink(temporary)


def _read(key_file: Path) -> list[Fernet]:
    with key_file.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise KeyFileError(f"key file {key_file} is open to other users: chmod 600 {key_file}")
        lines = [line.strip() for line in file if line.strip()]
    if not lines:
        raise KeyFileError(f"key file {key_file} is empty: restore it; if no user exists yet, remove it")
    try:
        return [Fernet(line) for line in lines]
    except ValueError:
        raise KeyFileError(f"key file {key_file} has a line that is no Fernet key: restore it") from None
