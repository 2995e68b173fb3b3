"""Forwarded headers of reverse proxies: accepted from trusted proxies alone (R83).

The scheme and the host of an address are those of the settings, never those of a header. A trusted proxy determines
only the address of the client, for the log. A request that bypasses the proxy is refused, and so is a request with
forwarded headers from any other address: somebody has forged them, or TIEOUT_TRUSTED_PROXIES is incomplete.
"""

import ipaddress
from collections.abc import Collection, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tieout.settings import Settings
from tieout.workspace.web.security import host_name, trusted_hosts

_HEALTH: Final = "/health"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """ASGI middleware that refuses forged forwarded headers, and sets the client of a request to the one that a
    trusted proxy names.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._proxies: Sequence[Network] = [ipaddress.ip_network(proxy) for proxy in settings.trusted_proxies]
        self._hosts = trusted_hosts(settings)
        self._scheme = (settings.workspace_address or "http:").partition(":")[0]
        self._direct = not self._proxies or settings.tls_certificate is not None
        """Whether clients may connect without a proxy."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            peer = _address((scope.get("client") or ("",))[0])
            problem = self._problem(scope, peer, headers)
            if problem:
                await PlainTextResponse(f"{problem}\n", status_code=400)(scope, receive, send)
                return
            if self._is_proxy(peer) and (chain := headers.getlist("x-forwarded-for")):
                scope = {**scope, "client": (str(self._client(chain)), 0)}
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope, peer: Address | None, headers: Headers) -> str:
        """Return why a request is refused; '' if it is accepted."""
        if not self._is_proxy(peer):
            if any(_is_forwarded(name) for name in headers):
                return "Forwarded headers are accepted from the reverse proxies in TIEOUT_TRUSTED_PROXIES only."
            if not self._direct and not (scope["path"] == _HEALTH and peer is not None and peer.is_loopback):
                return "This workspace is reached by its reverse proxy only."
            return ""
        if any(scheme != self._scheme for scheme in headers.getlist("x-forwarded-proto")):
            return f"This workspace is reached by {self._scheme} only."
        if any(host_name(host) not in self._hosts for host in headers.getlist("x-forwarded-host")):
            return "Invalid host header"
        if (chain := headers.getlist("x-forwarded-for")) and self._client(chain) is None:
            return "X-Forwarded-For is no list of addresses."
        return ""

    def _is_proxy(self, peer: Address | None) -> bool:
        return peer is not None and any(peer in network for network in self._proxies)

    def _client(self, chain: Collection[str]) -> Address | None:
        """Return the client of a chain of proxies: the last address that is no trusted proxy, because everything
        before it may be forged. None if it is no address.
        """
        client = None
        for text in reversed(",".join(chain).split(",")):
            client = _address(_without_port(text.strip()))
            if not self._is_proxy(client):
                return client
        return client


def _is_forwarded(name: str) -> bool:
    return name in ("forwarded", "x-real-ip", "x-original-host") or name.startswith("x-forwarded-")


def _without_port(text: str) -> str:
    """Return an address of a chain without the port that some proxies add."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for both versions names clients of version 4 so.
    return getattr(address, "ipv4_mapped", None) or address
