"""Security headers of all responses, and checks of requests.

The content policy allows our own script, style, images and forms, and nothing inline. Trusted Types prevent text from
becoming markup; our script has one policy, for pages of this server.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers as RequestHeaders
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tieout.settings import Settings

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types tieout",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""Host names of this machine, which are always accepted."""

STRICT_TRANSPORT: Final = "max-age=31536000; includeSubDomains"
"""A browser that has seen the workspace by https uses nothing else for a year."""


def trusted_hosts(settings: Settings) -> frozenset[str]:
    """Return the accepted host names; the name of another site that resolves to this address is refused (DNS
    rebinding).
    """
    own = urlsplit(settings.workspace_address or "").netloc
    return frozenset({*LOOPBACK, *map(str.lower, settings.trusted_hosts), *([host_name(own)] if own else [])})


def host_name(host: str) -> str:
    """Return the name in a host header, without the port."""
    name = host.strip().lower()
    return name[: name.find("]") + 1] if name.startswith("[") else name.partition(":")[0]


def own_path(text: str) -> str:
    """Return an address of this workspace to redirect to; its home for any other. Two slashes, of either direction,
    begin the address of another site.
    """
    try:
        url = urlsplit(text)
    except ValueError:
        return "/"
    own = text.startswith("/") and not text.startswith("//") and not (url.scheme or url.netloc)
    harmless = not re.search(r"[\x00-\x20\x7f\\]", text) and text.isascii()
    return text if own and harmless else "/"


def headers_of(settings: Settings) -> dict[str, str]:
    """Return the security headers of every response."""
    headers = dict(HEADERS)
    if (settings.workspace_address or "").startswith("https:"):
        headers["Strict-Transport-Security"] = STRICT_TRANSPORT
    # Ledger figures must not enter a shared cache, and are revalidated on each use. After a sign-out nobody may read
    # them from the cache of the browser either.
    headers["Cache-Control"] = "private, no-cache" if settings.issuer is None else "no-store"
    return headers


class SecurityHeaders:
    """ASGI middleware that adds the security headers to every response."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = headers_of(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class TrustedHosts:
    """ASGI middleware that refuses requests for other host names."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = trusted_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and host_name(RequestHeaders(scope=scope).get("host", "")) not in self._hosts:
            await PlainTextResponse("Invalid host header\n", status_code=400)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class RejectNul:
    """ASGI middleware that refuses addresses with NUL: no name contains it, and PostgreSQL would fail on it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope["query_string"]):
            response = PlainTextResponse("The address contains an invalid character (NUL).\n", status_code=400)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


class SameOriginForms:
    """ASGI middleware that refuses forms of other sites before the body is read.

    A browser sends the origin of a form in `Origin`, and whether it is ours in `Sec-Fetch-Site`. A page can set
    neither, so forms need no secret; another port of this machine is another site. Requests without both headers do
    not come from a browser, and programs have the command line.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origin = settings.workspace_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD") and not self._own(scope):
            response = PlainTextResponse("This form wasn't sent by a page of this workspace.\n", status_code=403)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _own(self, scope: Scope) -> bool:
        headers = RequestHeaders(scope=scope)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        own = self._origin or f"http://{headers.get('host')}"
        return (site is not None or origin is not None) and site in (None, "same-origin") and origin in (None, own)
