"""What every answer carries, so that a browser trusts nothing but us; and which requests may change something.

The policy allows our own script, style, pictures and forms, and nothing inline. Trusted Types close the ways by which
text could turn into markup; our script has one policy, for pages that this server made.
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
"""The names this server answers to: another site's name that leads here is refused (DNS rebinding)."""


class Headers:
    """Puts the headers on every answer."""

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
                # Figures of a ledger belong into no shared cache, and are asked again each time.
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


class NoNul:
    """Refuses an address with the character NUL: no name has it, and PostgreSQL would refuse it as a fault of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope["query_string"]):
            response = PlainTextResponse("The address contains an invalid character (NUL).\n", status_code=400)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


class OwnPages:
    """Refuses a form that another site sent, before anybody reads it.

    A browser says where a form comes from: in `Sec-Fetch-Site`, an older one in `Origin`. Neither can be set by a page,
    so no secret is needed in the form; another port of this machine is another site. What says neither is no browser,
    and programs have the command line.
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
