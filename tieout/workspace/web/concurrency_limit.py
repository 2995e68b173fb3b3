"""Limits for clients: connections, time, size of a form, and concurrent pages."""

import asyncio
from typing import Any, Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tieout.workspace.web.posted_form import FORM_BYTES_MAX

PAGES_AT_ONCE: Final = 12
"""Pages rendered concurrently; fewer than the store has connections for readers (15)."""

SIGN_INS_AT_ONCE: Final = 3
"""Sign-ins processed concurrently. They wait for the identity provider, so they have slots of their own: people who
are signed in must not wait for it. With the pages they are as many as the connections for readers.
"""

CONNECTIONS_MAX: Final = 200
"""Open connections; more are closed at once. A browser opens six."""

REQUEST_SECONDS: Final = 10.0
"""Time for the headers of a request to arrive, from the connection or the previous response.

Then a connection without a request is closed.
"""

IDLE_SECONDS: Final = 60.0
"""Time that a client may leave a pending response unread."""

FORM_SECONDS: Final = 10.0
"""Time for the body of a form to arrive."""

_WITHOUT_STORE: Final = ("/static/", "/health")
_SIGN_IN: Final = "/sign-in"


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a limit on connections, and timeouts for slow requests and unread responses."""

    _arriving: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        else:
            self._arriving = self._close_after(REQUEST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._arriving, self._taking):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self._responding() and self._arriving is not None:
            self._arriving.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._responding():
            self._arriving = self._close_after(REQUEST_SECONDS)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking = self._close_after(IDLE_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()

    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_after(self, seconds: float) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, self.transport.abort)


class BufferedForms:
    """ASGI middleware that reads the body of a request completely before passing it on.

    A slow sender occupies its connection only. Answers 408 if the body does not arrive in time, and 413 if it is larger
    than any form.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once its body is complete."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(FORM_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            await _refusal(408, "The form was not received in time.")(scope, receive, send)
            return
        if body is None:
            return
        if len(body) > FORM_BYTES_MAX:
            await _refusal(413, "The form is too large.")(scope, receive, send)
            return
        whole = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def received() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, received, send)


async def _body(receive: Receive) -> bytearray | None:
    """Return the body, up to the limit and one part; None if the client has disconnected."""
    body = bytearray()
    while len(body) <= FORM_BYTES_MAX:
        message: dict[str, Any] = dict(await receive())
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


def _refusal(status: int, text: str) -> PlainTextResponse:
    # The rest of the body is not read, so the connection cannot be reused.
    return PlainTextResponse(f"{text}\n", status_code=status, headers={"Connection": "close"})


class ConcurrencyLimit:
    """ASGI middleware that limits concurrent page requests below the size of the connection pool.

    A streamed page keeps its connection and needs a thread again for each part. If all threads waited for a connection,
    no page could release one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._slots = asyncio.Semaphore(PAGES_AT_ONCE)
        self._sign_ins = asyncio.Semaphore(SIGN_INS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when a slot is free; waiting needs no thread."""
        if scope["type"] != "http" or scope["path"].startswith(_WITHOUT_STORE):
            await self._app(scope, receive, send)
            return
        async with self._sign_ins if scope["path"].startswith(_SIGN_IN) else self._slots:
            await self._app(scope, receive, send)
