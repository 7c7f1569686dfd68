"""Unix sockets, as `flask doctor` looks at them: who may open one, and as whom its server runs."""

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
    """Those in the settings, and those beside the key file, where `make up` and the units have them."""
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
    """Whether Redis is reached by TCP without a password."""
    url = urlsplit(redis_url)
    return url.scheme in ("redis", "rediss") and not url.password


def may_open(path: Path) -> str:
    """Who besides the owner may enter the folder of a socket: "nobody else", "its group" or "everybody".

    The socket's own mode says little: gunicorn and MariaDB let everybody write to theirs.
    """
    mode = stat.S_IMODE(path.parent.stat().st_mode)
    return "everybody" if mode & 0o007 else "its group" if mode & 0o070 else "nobody else"


def listener_is_root(path: Path) -> bool | None:
    """Whether root's process listens on a Unix socket; None where nobody does, or we may not ask."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return None
        # struct ucred: pid, uid, gid of the process that listens.
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", peer)
    return bool(uid == 0)
