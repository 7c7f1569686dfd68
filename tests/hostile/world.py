"""The other end of the cable: `python -m tests.hostile.world FOLDER`, started in a namespace of its own."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import ssl
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

from samples.draw import numbered
from tests.hostile.hosts import ROWS, TLS_FAULTS
from tests.hostile.names import NameServer
from tests.hostile.network import CABLE, PUBLIC, PUBLIC_V6, Sniffer, plug_in_world, run
from tests.picture_host import Answer, PictureHost, http, redirect
from tests.unit.test_fetch_tls import Authority

BLACK_HOLE = "93.184.218.0/24"
IDN = "xn--bcher-kva.test"


class Answers(dict[str, Answer]):
    """By path; /to?URL redirects there, /ticket/N.png is a picture that says N, /ROW misbehaves."""

    def get(self, path: str, default: object = None) -> Answer:
        if path.startswith("/to?"):
            return redirect(unquote(path.removeprefix("/to?"), "latin-1"))
        if path.startswith("/ticket/"):
            return http(200, ticket(int(path.split("/")[2].partition(".png")[0])), "Content-Type: text/html")
        return super().get(path, http(404))


def ticket(n: int) -> bytes:
    file = BytesIO()
    numbered(n).image.save(file, "PNG")
    return file.getvalue()


def allowed(address: str, port: int) -> bool:
    """93.184.217 is public, too, with nobody there but TLS_FAULTS; 93.184.218 swallows every packet."""
    public = address in (PUBLIC, PUBLIC_V6) or address.startswith(("93.184.217.", "93.184.218."))
    return public and port in (80, 443)


def by_name(authority: Authority) -> ssl.SSLContext:
    """Whoever names no host in the handshake gets a certificate for nobody."""
    day = dt.timedelta(days=1)
    contexts = {name: authority.server(name) for name in ("good.test", "www.test", IDN, PUBLIC)}
    contexts["expired.test"] = authority.server("expired.test", valid_for=-day)
    contexts["self.test"] = authority.server("self.test", trusted=False)
    nobody = authority.server("nobody.test")

    def choose(handshake: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        handshake.context = contexts.get(name or PUBLIC, nobody)

    nobody.sni_callback = choose
    return nobody


@contextlib.contextmanager
def picture_hosts(authority: Authority) -> Iterator[None]:
    with contextlib.ExitStack() as hosts:
        for address in (PUBLIC, PUBLIC_V6):
            for port, tls in ((80, None), (443, by_name(authority))):
                host = PictureHost({}, address=address, port=port, tls=tls)
                host.answers = Answers(ROWS)
                hosts.enter_context(host)
        for address, fault in TLS_FAULTS.items():
            hosts.enter_context(PictureHost({"": fault}, address=address, port=443))
        yield


def answer_questions(dialled: Callable[[], object]) -> None:
    for _ in sys.stdin:
        print(json.dumps(dialled()), flush=True)


def main() -> None:
    folder = Path(sys.argv[1])
    print("in its namespace", flush=True)
    sys.stdin.readline()
    plug_in_world()
    run("ip", "route", "add", "blackhole", BLACK_HOLE, "table", "local")
    sniffer = Sniffer(CABLE, allowed)
    sniffer.start()
    NameServer().start()
    with picture_hosts(Authority(folder)):
        print("ready", flush=True)
        answer_questions(lambda: sniffer.seen)


if __name__ == "__main__":
    main()
