"""The checks of `flask doctor`: is everything in place, and is nothing open that should be closed?"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.cli.sockets import listener_is_root, may_open, trusts_the_network, unix_sockets
from app.errors import ServiceError
from app.state.redis_front.client import RedisLink
from app.state.redis_front.health import findings, mover_finding
from app.state.redis_front.spool import Spool
from app.system.disk import Disks
from app.wiring.services import Services
from app.wiring.state import MB
from config.settings import unknown_variables


@dataclass(frozen=True, slots=True)
class Check:
    """note: a finding that is right if the operator intended it."""

    good: bool
    text: str
    note: bool = False


def checks(services: Services) -> Iterator[Check]:
    settings = services.settings
    yield _attempt(
        "the engine reads the built-in test picture",
        lambda: f"({services.reader().engine.runtime})",
    )
    yield _attempt(f"the database answers ({services.store.shown})", services.store.ping)
    if services.state.redis is not None:
        yield from _redis(services.state.redis.link, settings.state.claim_after_s)
        yield from _spool(services.state.redis.spool, settings.state.spool_dir)
    yield _key_is_private(settings.state.key_file)
    yield _attempt(f"downloads from the service's own {settings.bind} are refused", services.check_guard)
    for folder in (Path(settings.log.file).parent, settings.state.key_file.parent):
        yield Check(os.access(folder, os.W_OK), f"the folder {folder} is writable")
    yield from _disk(services.disks, settings.state.min_free_disk_mb)
    if trusts_the_network(settings.state.redis_url):
        text = "Redis has no password: everybody who reaches its port has full access"
        yield Check(True, text, note=True)
    for path in sorted(unix_sockets(settings)):
        yield from _socket(path, settings.state.key_file)
    yield from _limits(services)
    yield from _security(services)
    unknown = ", ".join(unknown_variables(os.environ))
    yield Check(not unknown, f"unknown variables: {unknown}" if unknown else "every OCR_ variable is known")


def _attempt(text: str, action: Callable[[], str | None]) -> Check:
    """action: may return a detail to append."""
    try:
        found = action()
    except ServiceError as error:
        return Check(False, f"{text}: {error.error}: {error.detail}")
    except Exception as error:
        return Check(False, f"{text}: {error}")
    return Check(True, f"{text} {found}" if found else text)


def _redis(link: RedisLink, silent_after_s: float) -> Iterator[Check]:
    try:
        for good, text in (*findings(link), mover_finding(link, silent_after_s)):
            yield Check(good, text)
    except ServiceError as error:
        yield Check(False, f"Redis answers: {error.detail}")


def _spool(spool: Spool, folder: Path) -> Iterator[Check]:
    there = next(place for place in (folder, *folder.parents) if place.exists())  # the spool creates the rest
    writable = there.is_dir() and os.access(there, os.R_OK | os.W_OK | os.X_OK)
    yield Check(writable, f"the spool {folder} is writable, for records while Redis is down")
    bad = spool.put_aside()
    yield Check(
        not bad,
        f"{bad} files in {folder} are not usage records (*.bad)" if bad else "the spool has no invalid file",
    )


def _disk(disks: Disks, wanted_mb: int) -> Iterator[Check]:
    for folder, free in disks.free_bytes().items():
        text = f"{folder} has {free // MB} MB of free disk (OCR_STATE__MIN_FREE_DISK_MB requires {wanted_mb})"
        yield Check(free >= wanted_mb * MB, text)


def _socket(path: Path, key_file: Path) -> Iterator[Check]:
    """Redis and the instances trust every process that can open their sockets."""
    if not path.parent.is_dir():
        yield Check(False, f"the folder of the socket {path} does not exist")
        return
    who = may_open(path)
    closed = who == "nobody else"
    # Debian's /run/mysqld and /run/redis are open to everybody; their servers check passwords.
    theirs = key_file.exists() and path.parent.stat().st_uid not in (0, key_file.stat().st_uid)
    remedy = "its server must require a password" if theirs else f"chmod 700 {path.parent}"
    text = f"{path} is open to its owner and {who}"
    yield Check(closed or theirs, text if closed else f"{text}: {remedy}", note=not closed)
    if listener_is_root(path):
        yield Check(False, f"the server of {path} runs as root: run it as a user of its own")


def _key_is_private(key_file: Path) -> Check:
    if not key_file.is_file():
        return Check(False, f"{key_file} is missing: run `flask db init`")
    mode = stat.S_IMODE(key_file.stat().st_mode)
    if mode & 0o077:
        return Check(False, f"{key_file} is readable by others (mode {mode:o}): chmod 600 {key_file}")
    return Check(True, f"{key_file} is private (mode {mode:o})")


def _limits(services: Services) -> Iterator[Check]:
    limits, fetch = services.settings.limits, services.settings.fetch
    encoded = limits.max_picture_bytes * 4 / 3
    yield Check(
        limits.max_body_bytes > encoded, "a picture of the maximum size fits into a body as picture_base64"
    )
    yield Check(
        fetch.timeout_s * 1000 < limits.timeout_ms,
        "the download timeout is shorter than the request timeout",
    )


def _security(services: Services) -> Iterator[Check]:
    fetch = services.settings.fetch
    opened = ", ".join(map(str, sorted(fetch.allow_networks, key=str)))
    text = f"private networks are open to picture URLs: {opened}" if opened else "no private network is open"
    yield Check(True, text, note=bool(opened))
    try:
        users = services.store.users.list()
    except ServiceError as error:
        yield Check(False, f"users cannot be listed: {error.detail}")
        return
    legacy = ", ".join(user.username for user in users if user.allow_legacy_sign)
    text = f"md5 signatures are accepted from: {legacy}" if legacy else "no user may sign with md5"
    yield Check(True, text, note=bool(legacy))
