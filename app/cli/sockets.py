"""Checks of Unix sockets for `flask doctor`: who may open one, and whether its server runs as root."""

from __future__ import annotations

import socket
import stat
import struct
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from config.settings import ROOT, Settings

CONNECT_TIMEOUT_S = 2


def unix_sockets(settings: Settings) -> set[Path]:
    """The sockets in the settings, and those next to the key file, where `make up` and systemd put them."""
    named = parse_qs(urlsplit(settings.state.database_url).query).get("unix_socket", [])
    redis = urlsplit(settings.state.redis_url)
    if redis.scheme == "unix":
        named.append(unquote(redis.path))
    if settings.bind.startswith("unix:"):
        named.append(settings.bind.removeprefix("unix:"))
    state = settings.state.key_file.parent
    beside = [path for pattern in ("*.sock", "*/*.sock") for path in state.glob(pattern) if path.is_socket()]
    return {(ROOT / path).resolve() for path in named} | {path.resolve() for path in beside}


def trusts_the_network(redis_url: str) -> bool:
    """Whether the URL of Redis uses TCP without a password."""
    url = urlsplit(redis_url)
    return url.scheme in ("redis", "rediss") and not url.password


def may_open(path: Path) -> str:
    """Who may open a socket besides its owner, by the mode of its folder: "nobody else", "its group" or
    "everybody". The socket's own mode does not tell: gunicorn and MariaDB let everybody write to theirs.
    """
    mode = stat.S_IMODE(path.parent.stat().st_mode)
    return "everybody" if mode & 0o007 else "its group" if mode & 0o070 else "nobody else"


def listener_is_root(path: Path) -> bool | None:
    """Whether a process of root listens on a Unix socket; None if none listens or access is denied."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return None
        # struct ucred of the listening process: pid, uid, gid.
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", peer)
    return bool(uid == 0)
