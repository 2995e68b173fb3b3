"""Security headers of all responses, and checks of requests.

The content policy allows our own script, style, images and forms, and nothing inline. Trusted Types prevent text from
becoming markup; our script has one policy, for pages of this server.
"""

from typing import Final

from starlette.datastructures import Headers as RequestHeaders
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
"""Accepted host names; the name of another site that resolves to this address is refused (DNS rebinding)."""


class SecurityHeaders:
    """ASGI middleware that adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # Ledger figures must not enter a shared cache, and are revalidated on each use.
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


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

    A browser sends the origin of a form in `Sec-Fetch-Site`, an older one in `Origin`. A page can set neither, so forms
    need no secret; another port of this machine is another site. Requests without both headers do not come from a
    browser, and programs have the command line.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD") and not _own(RequestHeaders(scope=scope)):
            response = PlainTextResponse("This form wasn't sent by a page of this workspace.\n", status_code=403)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _own(headers: RequestHeaders) -> bool:
    site = headers.get("sec-fetch-site")
    return site == "same-origin" if site is not None else headers.get("origin") == f"http://{headers.get('host')}"
