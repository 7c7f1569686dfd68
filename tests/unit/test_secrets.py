"""Secrets at rest, and the file with their key."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.state.sql.secrets import KeyFileError, SecretBox, SecretUnreadable, new_secret


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "secret.key"


def write(key_file: Path, *lines: bytes, mode: int = 0o600) -> None:
    key_file.parent.mkdir(exist_ok=True)
    key_file.write_bytes(b"\n".join(lines))
    key_file.chmod(mode)


def test_a_secret_comes_back(key_file: Path) -> None:
    secret = new_secret()
    token = SecretBox(key_file).encrypt(secret)

    assert secret not in token
    assert SecretBox(key_file).decrypt(token) == secret


def test_the_key_file_is_made_whole_and_private(key_file: Path) -> None:
    SecretBox(key_file).load()

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == ["secret.key"]
    Fernet(key_file.read_bytes().strip())


def test_of_many_that_start_at_once_all_have_the_same_key(key_file: Path) -> None:
    gate = threading.Barrier(16)

    def encrypt(_: int) -> str:
        box = SecretBox(key_file)
        gate.wait(60)
        return box.encrypt("the secret")

    with ThreadPoolExecutor(gate.parties) as threads:
        tokens = list(threads.map(encrypt, range(gate.parties)))

    box = SecretBox(key_file)
    assert {box.decrypt(token) for token in tokens} == {"the secret"}
    assert [path.name for path in key_file.parent.iterdir()] == ["secret.key"]


def test_an_existing_key_is_kept(key_file: Path) -> None:
    key = Fernet.generate_key()
    write(key_file, key)
    SecretBox(key_file).load()

    assert key_file.read_bytes() == key


def test_the_first_key_encrypts_and_every_key_decrypts(key_file: Path) -> None:
    old, new = Fernet.generate_key(), Fernet.generate_key()
    write(key_file, old)
    from_before = SecretBox(key_file).encrypt("the secret")
    write(key_file, new, b"", old, b"")
    box = SecretBox(key_file)

    assert box.decrypt(from_before) == "the secret"
    assert Fernet(new).decrypt(box.encrypt("another")) == b"another"


def test_a_secret_of_another_key_says_what_to_do(key_file: Path) -> None:
    token = Fernet(Fernet.generate_key()).encrypt(b"the secret").decode()

    with pytest.raises(SecretUnreadable, match=rf"{key_file}.*put that key back"):
        SecretBox(key_file).decrypt(token)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    write(key_file, Fernet.generate_key(), mode=mode)

    with pytest.raises(KeyFileError, match=f"chmod 600 {key_file}"):
        SecretBox(key_file).load()


@pytest.mark.parametrize("lines", [[b""], [b"too short"], [Fernet.generate_key(), b"\xff" * 44]])
def test_a_key_file_without_a_key_is_refused_and_kept(key_file: Path, lines: list[bytes]) -> None:
    write(key_file, *lines)

    with pytest.raises(KeyFileError, match=f"{key_file}.*restore it"):
        SecretBox(key_file).load()
    assert key_file.read_bytes() == b"\n".join(lines)


def test_a_key_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("not a folder")

    with pytest.raises(KeyFileError, match=f"{tmp_path}/var/secret.key: "):
        SecretBox(tmp_path / "var" / "secret.key").load()
