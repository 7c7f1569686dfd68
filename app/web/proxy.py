"""Whom to believe about a request's address, scheme and id: our own proxies alone."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

from app.limits.network import parsed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BELIEVED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REQUEST_ID")


class TrustedProxies:
    """WSGI middleware: from a proxy of ours it takes over what BELIEVED says, from anyone else it drops that.

    proxies: networks they connect from. A peer on a Unix socket has no address and is always one of ours,
    since files have owners.
    """

    def __init__(self, app: WSGIApplication, proxies: Iterable[IPv4Network | IPv6Network]) -> None:
        self._direct = app
        self._proxied = ProxyFix(app, x_for=1, x_proto=1)
        self._proxies = tuple(proxies)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._is_ours(environ.get("REMOTE_ADDR", "")):
            return self._proxied(environ, start_response)
        for name in BELIEVED:
            environ.pop(name, None)
        return self._direct(environ, start_response)

    def _is_ours(self, peer: str) -> bool:
        if not peer:
            return True
        address = parsed(peer)
        return address is not None and any(address in network for network in self._proxies)
