"""The Accounts port, and the operator's side of the users."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet

from app.errors import DependencyUnavailable
from app.state.sql.store import SqlStore
from app.state.sql.users import DuplicateUser, UnknownUser
from tests.contract.conftest import MakeStore
from tests.contract.state import State, sql_store
from tests.fakes import FakeClock
from tests.servers import MySqlServer

only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def test_finds_the_user_with_its_secret(state: State) -> None:
    secret = state.add_user("alice", quota_limit=7)

    account = state.accounts.find("alice")

    assert account is not None
    assert (account.username, account.secrets, account.quota_limit) == ("alice", (secret,), 7)
    assert account.enabled
    assert not account.allow_legacy_sign


@pytest.mark.parametrize("other", ["Alice", "alice ", " alice", "alic", "al%", "alice\0", "ａlice", ""])
def test_compares_names_byte_for_byte(state: State, other: str) -> None:
    state.add_user("alice")

    assert state.accounts.find(other) is None


def test_names_that_differ_in_case_are_different_users(state: State) -> None:
    secrets = [state.add_user("alice"), state.add_user("Alice")]

    assert [state.account("alice").secrets, state.account("Alice").secrets] == [(secrets[0],), (secrets[1],)]


def test_every_secret_is_another(store: SqlStore) -> None:
    secrets = {store.users.add(f"user-{number}") for number in range(20)}

    assert len(secrets) == 20
    assert min(len(secret) for secret in secrets) >= 43  # 256 bits in base64


def test_a_name_is_given_once(store: SqlStore) -> None:
    first = store.users.add("alice")

    with pytest.raises(DuplicateUser, match="alice"):
        store.users.add("alice")

    account = store.find("alice")
    assert account is not None
    assert account.secrets == (first,)


def test_two_secrets_are_active_newest_first(store: SqlStore) -> None:
    secrets = [store.users.add("alice")]
    for _ in range(2):
        secrets.append(store.users.rotate_secret("alice"))
        account = store.find("alice")
        assert account is not None
        assert account.secrets == tuple(reversed(secrets[-2:]))


def test_rotation_leaves_the_secrets_of_others(store: SqlStore) -> None:
    secret = store.users.add("bob")
    store.users.add("alice")
    for _ in range(3):
        store.users.rotate_secret("alice")

    bob = store.find("bob")
    assert bob is not None
    assert bob.secrets == (secret,)


def test_the_operator_changes_what_a_user_may(store: SqlStore) -> None:
    store.users.add("alice")
    store.users.set_enabled("alice", False)
    store.users.set_quota("alice", 10)
    store.users.set_legacy_sign("alice", True)

    account = store.find("alice")
    assert account is not None
    assert (account.enabled, account.quota_limit, account.allow_legacy_sign) == (False, 10, True)

    store.users.set_quota("alice", None)
    account = store.find("alice")
    assert account is not None
    assert account.quota_limit is None


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("set_enabled", [True]), ("set_quota", [1]), ("set_legacy_sign", [True]), ("rotate_secret", [])],
)
def test_a_user_who_is_not_there_cannot_be_changed(
    store: SqlStore, method: str, arguments: list[object]
) -> None:
    store.users.add("alice")

    with pytest.raises(UnknownUser, match="Alice"):
        getattr(store.users, method)("Alice", *arguments)


def test_lists_the_users_by_name(store: SqlStore, clock: FakeClock) -> None:
    store.users.add("bob", quota_limit=5, allow_legacy_sign=True)
    store.users.add("alice")

    alice, bob = store.users.list()

    assert (alice.username, alice.quota_limit, alice.quota_used, alice.enabled) == ("alice", None, 0, True)
    assert (bob.username, bob.quota_limit, bob.allow_legacy_sign) == ("bob", 5, True)
    assert alice.created_at == clock.now() * 1000


@only_sqlite
def test_no_secret_lies_in_the_files(store: SqlStore, tmp_path: Path) -> None:
    secrets = [store.users.add("alice"), store.users.rotate_secret("alice")]

    stored = b"".join(path.read_bytes() for path in (tmp_path / "var").iterdir())

    assert b"alice" in stored
    assert not [secret for secret in secrets if secret.encode() in stored]


@only_sqlite
def test_nobody_else_can_read_the_files(store: SqlStore, tmp_path: Path) -> None:
    store.users.add("alice")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "var").iterdir()}

    assert modes == dict.fromkeys(["ocr.sqlite", "ocr.sqlite-wal", "ocr.sqlite-shm", "secret.key"], 0o600)


def test_a_lost_key_is_named_and_blames_no_caller(
    store: SqlStore, make_store: MakeStore, tmp_path: Path
) -> None:
    store.users.add("alice")
    (tmp_path / "var" / "secret.key").unlink()
    with_another_key = make_store()

    with pytest.raises(DependencyUnavailable, match=r"var/secret\.key.*put that key back"):
        with_another_key.find("alice")


def test_rotation_helps_where_the_key_is_lost(store: SqlStore, make_store: MakeStore, tmp_path: Path) -> None:
    store.users.add("alice")
    (tmp_path / "var" / "secret.key").unlink()
    with_another_key = make_store()
    secret = with_another_key.users.rotate_secret("alice")

    account = with_another_key.find("alice")
    assert account is not None
    assert account.secrets == (secret,)


def test_rotation_ends_the_use_of_an_old_key(store: SqlStore, make_store: MakeStore, tmp_path: Path) -> None:
    first = store.users.add("alice")
    key_file = tmp_path / "var" / "secret.key"
    new_key = Fernet.generate_key() + b"\n"
    key_file.write_bytes(new_key + key_file.read_bytes())
    with_both_keys = make_store()
    second = with_both_keys.users.rotate_secret("alice")
    key_file.write_bytes(new_key)
    with_the_new_key = make_store()

    account = with_the_new_key.find("alice")
    assert account is not None
    assert account.secrets == (second, first)


def test_creating_again_changes_nothing(store: SqlStore) -> None:
    secret = store.users.add("alice")
    store.create()

    account = store.find("alice")
    assert account is not None
    assert account.secrets == (secret,)


@only_sqlite
def test_nothing_is_opened_until_it_is_used(make_store: MakeStore, tmp_path: Path) -> None:
    make_store()

    assert os.listdir(tmp_path) == []


def test_ping_tells_a_good_database_from_a_bad_one(store: SqlStore) -> None:
    store.ping()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///{folder}/new/ocr.sqlite", "no such table"),
        ("sqlite:///{folder}/text", "not a database"),
        ("sqlite:///{folder}/text/ocr.sqlite", "File exists"),
        ("mysql+pymysql://ocr:wrong@127.0.0.1:{port}/ocr", "Access denied"),
        ("mysql+pymysql://ocr:right@127.0.0.1:{port}/another", "Access denied"),
        ("mysql+pymysql://ocr:right@127.0.0.1:1/ocr", "refused"),
        ("mysql+pymysql://ocr:right@no-such-host.invalid/ocr", "Can't connect"),
    ],
)
def test_ping_names_what_is_bad(
    tmp_path: Path, clock: FakeClock, mysql_server: MySqlServer, url: str, said: str
) -> None:
    (tmp_path / "text").write_text("not a database" * 100)
    password = quote(mysql_server.PASSWORD, safe="")
    url = url.format(folder=tmp_path, port=mysql_server.port).replace("right", password)
    store = sql_store(tmp_path, clock, database_url=url)

    with pytest.raises(DependencyUnavailable, match=said) as refused:
        store.ping()
    assert password not in str(refused.value)
    store.close()


@only_sqlite
def test_users_are_found_while_another_process_writes(store: SqlStore, tmp_path: Path) -> None:
    store.users.add("alice")
    other = sqlite3.connect(tmp_path / "var" / "ocr.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    assert store.find("alice") is not None
    other.close()
