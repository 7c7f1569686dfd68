"""A request's address, scheme and id come from the proxy's headers only where the proxy is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

from app.limits.network import parsed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TRUSTED_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REQUEST_ID")


class TrustedProxies:
    """WSGI middleware: takes TRUSTED_HEADERS from trusted proxies, drops them from other peers.

    proxies: the networks that trusted proxies connect from. A peer on a Unix socket has no address and is
    always trusted, since the file's permissions decide who may connect.
    """

    def __init__(self, app: WSGIApplication, proxies: Iterable[IPv4Network | IPv6Network]) -> None:
        self._direct = app
        self._proxied = ProxyFix(app, x_for=1, x_proto=1)
        self._proxies = tuple(proxies)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._is_trusted(environ.get("REMOTE_ADDR", "")):
            return self._proxied(environ, start_response)
        for name in TRUSTED_HEADERS:
            environ.pop(name, None)
        return self._direct(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if not peer:
            return True
        address = parsed(peer)
        return address is not None and any(address in network for network in self._proxies)
