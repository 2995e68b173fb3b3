"""The workspace as a web application."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from sqlalchemy.exc import DatabaseError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engine.errors import QuestionError, SetupError, TieoutError
from streams.log import LogError
from tieout.syncing import TooManyCalls
from tieout.workspace import (
    balance,
    deleting,
    document,
    dual_write,
    grid,
    journals,
    onesided,
    operation,
    proposals,
    syncing,
    troubleshoot,
)
from tieout.workspace.addresses import PATHS
from tieout.workspace.context import Workspace
from tieout.workspace.rendering import render, static_response
from tieout.workspace.security import HEADERS, LOOPBACK, Headers, NoNul, OwnPages
from tieout.workspace.turns import InTurn, WholeForms

log = structlog.get_logger(__name__)

Endpoint = Callable[[Request], Response]


def make_app(workspace: Workspace) -> Starlette:
    """The application over a store and a log. It reads them; what people ask for goes out as commands."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        workspace.close()

    app = Starlette(
        routes=[
            Route("/", dual_write.home),
            Route("/static/{name}", static_response),
            Route("/health", lambda request: PlainTextResponse("ok")),
            Route("/company", dual_write.company),
            Route("/operation", operation.operation),
            Route("/operation/checks", operation.checks),
            Route("/operation/rejected", operation.rejected),
            Route("/event/{topic}/{partition}/{offset}", document.event),
            Route("/event/{topic}/{partition}/{offset}/bytes", document.event_bytes),
            Route("/{company}", dual_write.summary),
            *(
                Route(f"/{{company}}/{path}{suffix}", _Of(endpoint, kind=kind), methods=["GET"])
                for kind, path in PATHS.items()
                for suffix, endpoint in (("", grid.grid), (".csv", grid.grid_csv))
            ),
            Route("/{company}/balance", balance.balance),
            Route("/{company}/not-synced", onesided.not_synced),
            Route("/{company}/not-synced.csv", onesided.not_synced_csv),
            Route("/{company}/postings-without-document", onesided.postings),
            Route("/{company}/postings-without-document.csv", onesided.postings_csv),
            Route("/{company}/document/{name:path}", document.page),
            Route("/{company}/sync", syncing.runs, methods=["GET"]),
            Route("/{company}/sync", syncing.confirm, methods=["POST"]),
            Route("/{company}/sync/preview", syncing.preview),
            Route("/{company}/sync/preview.csv", syncing.preview_csv),
            Route("/{company}/sync/{run}.csv", syncing.run_csv),
            Route("/{company}/sync/{run}", syncing.run),
            Route("/{company}/errors", troubleshoot.errors),
            Route("/{company}/errors.csv", troubleshoot.errors_csv),
            Route("/{company}/errors/history", troubleshoot.history),
            Route("/{company}/errors/delete", deleting.confirm, methods=["GET"]),
            Route("/{company}/errors/delete", deleting.delete, methods=["POST"]),
            Route("/{company}/general-journals", journals.journals),
            Route("/{company}/general-journals.csv", journals.journals_csv),
            Route("/{company}/invoice-proposals", proposals.proposals),
            Route("/{company}/invoice-proposals.csv", proposals.proposals_csv),
        ],
        middleware=[
            Middleware(Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK)),
            Middleware(NoNul),
            Middleware(OwnPages),
            Middleware(WholeForms),
            Middleware(InTurn),
        ],
        exception_handlers=_HANDLERS,
        lifespan=lifespan,
    )
    app.state.workspace = workspace
    return app


class _Of:
    """An endpoint for one of several kinds, which the route names."""

    def __init__(self, endpoint: Endpoint, **names: str) -> None:
        self._route = Route("/", endpoint)
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._route.app({**scope, **self._names}, receive, send)


def _told(request: Request, status: int, title: str, text: str) -> Response:
    response = render(request, "message.html", {"title": title, "text": text, "status": status})
    response.status_code = status
    return response


_MISSING: Final = (
    *("there is no company", "there is no document", "there is no event", "there is no sync run"),
    *("there is no unconfirmed", "there is no error", "nothing was"),
)
"""How it is said that an address leads nowhere."""


def _question(request: Request, error: Exception) -> Response:
    """Something in the address leads nowhere, or cannot be read."""
    text = str(error)
    missing = text.startswith(_MISSING)
    title = "Not found" if missing else "Too much at once" if isinstance(error, TooManyCalls) else "This cannot be read"
    return _told(request, 404 if missing else 400, title, text[:1].upper() + text[1:])


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _told(request, 404, "Not found", f"There is no page at {request.url.path}.")
    return _told(request, error.status_code, "This cannot be done", error.detail)


def _unavailable(request: Request, error: Exception) -> Response:
    """The store or the log does not answer."""
    log.error("page_failed", path=request.url.path, error=type(error).__name__)
    text = str(error.orig) if isinstance(error, DatabaseError) else str(error)
    return _told(request, 503, "The store or the log does not answer", text)


def _fault(request: Request, error: Exception) -> Response:
    log.error("page_failed", path=request.url.path, error=type(error).__name__)
    response = _told(
        request, 500, "Something went wrong", "It is a fault of this page; the log of the server has more."
    )
    # It is sent outside of the middleware that puts them on every other answer.
    response.headers.update({**HEADERS, "Cache-Control": "no-store"})
    return response


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    QuestionError: _question,
    HTTPException: _http,
    SetupError: _unavailable,
    LogError: _unavailable,
    DatabaseError: _unavailable,
    TieoutError: _unavailable,
    Exception: _fault,
}
