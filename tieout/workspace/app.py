"""The workspace as an ASGI application: routes, middleware, error pages."""

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

from engine.errors import QueryError, SetupError, TieoutError
from streams.log import LogError
from tieout.sync.planning import TooManyCalls
from tieout.workspace.pages import (
    balance,
    delete_errors,
    document,
    general_journals,
    grid,
    invoice_proposals,
    operation,
    summary,
    sync,
    troubleshoot,
    unmatched,
)
from tieout.workspace.web.concurrency_limit import BufferedForms, ConcurrencyLimit
from tieout.workspace.web.context import Workspace
from tieout.workspace.web.grid_state import PATHS
from tieout.workspace.web.rendering import render, static_response
from tieout.workspace.web.security import HEADERS, LOOPBACK, RejectNul, SameOriginForms, SecurityHeaders

log = structlog.get_logger(__name__)

Endpoint = Callable[[Request], Response]


_MIDDLEWARE: Final = (
    Middleware(SecurityHeaders),
    Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK)),
    Middleware(RejectNul),
    Middleware(SameOriginForms),
    Middleware(BufferedForms),
    Middleware(ConcurrencyLimit),
)


def make_app(workspace: Workspace) -> Starlette:
    """Build the application over a store and a log. It only reads them; requests of people go out as commands."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        workspace.close()

    app = Starlette(
        routes=_routes(),
        middleware=_MIDDLEWARE,
        exception_handlers=_HANDLERS,
        lifespan=lifespan,
    )
    app.state.workspace = workspace
    return app


def _routes() -> list[Route]:
    return [
        Route("/", summary.home),
        Route("/static/{name}", static_response),
        Route("/health", lambda request: PlainTextResponse("ok")),
        Route("/company", summary.company),
        Route("/operation", operation.operation),
        Route("/operation/checks", operation.checks),
        Route("/operation/rejected", operation.rejected),
        Route("/event/{topic}/{partition}/{offset}", document.event),
        Route("/event/{topic}/{partition}/{offset}/bytes", document.event_bytes),
        Route("/{company}", summary.summary),
        *(
            Route(f"/{{company}}/{path}{suffix}", _KindEndpoint(endpoint, kind=kind), methods=["GET"])
            for kind, path in PATHS.items()
            for suffix, endpoint in (("", grid.grid), (".csv", grid.grid_csv))
        ),
        Route("/{company}/balance", balance.balance),
        Route("/{company}/not-synced", unmatched.not_synced),
        Route("/{company}/not-synced.csv", unmatched.not_synced_csv),
        Route("/{company}/postings-without-document", unmatched.postings),
        Route("/{company}/postings-without-document.csv", unmatched.postings_csv),
        Route("/{company}/document/{name:path}", document.page),
        Route("/{company}/sync", sync.runs, methods=["GET"]),
        Route("/{company}/sync", sync.confirm, methods=["POST"]),
        Route("/{company}/sync/preview", sync.preview),
        Route("/{company}/sync/preview.csv", sync.preview_csv),
        Route("/{company}/sync/{run}.csv", sync.run_csv),
        Route("/{company}/sync/{run}", sync.run),
        Route("/{company}/errors", troubleshoot.errors),
        Route("/{company}/errors.csv", troubleshoot.errors_csv),
        Route("/{company}/errors/history", troubleshoot.history),
        Route("/{company}/errors/delete", delete_errors.confirm, methods=["GET"]),
        Route("/{company}/errors/delete", delete_errors.delete, methods=["POST"]),
        Route("/{company}/general-journals", general_journals.journals),
        Route("/{company}/general-journals.csv", general_journals.journals_csv),
        Route("/{company}/invoice-proposals", invoice_proposals.proposals),
        Route("/{company}/invoice-proposals.csv", invoice_proposals.proposals_csv),
    ]


class _KindEndpoint:
    """Endpoint of a route for one of several kinds; the kind is passed in the request's scope."""

    def __init__(self, endpoint: Endpoint, **names: str) -> None:
        self._route = Route("/", endpoint)
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._route.app({**scope, **self._names}, receive, send)


def _message(request: Request, status: int, title: str, text: str) -> Response:
    response = render(request, "message.html", {"title": title, "text": text, "status": status})
    response.status_code = status
    return response


_NOT_FOUND: Final = (
    *("there is no company", "there is no document", "there is no event", "there is no sync run"),
    *("there is no unconfirmed", "there is no error", "nothing was"),
)
"""How the text of an error begins when the address names something that does not exist: answered with 404."""


def _question(request: Request, error: Exception) -> Response:
    """Answer an address that names something unknown, or is invalid."""
    text = str(error)
    missing = text.startswith(_NOT_FOUND)
    title = "Not found" if missing else "Sync too large" if isinstance(error, TooManyCalls) else "Invalid request"
    return _message(request, 404 if missing else 400, title, text[:1].upper() + text[1:])


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _message(request, 404, "Not found", f"There is no page at {request.url.path}.")
    return _message(request, error.status_code, "Request refused", error.detail)


def _unavailable(request: Request, error: Exception) -> Response:
    """Answer while the store or the event log is unavailable."""
    log.error("page_failed", path=request.url.path, error=type(error).__name__)
    text = str(error.orig) if isinstance(error, DatabaseError) else str(error)
    return _message(request, 503, "Store or event log unavailable", text)


def _fault(request: Request, error: Exception) -> Response:
    log.error("page_failed", path=request.url.path, error=type(error).__name__)
    response = _message(request, 500, "Internal error", "This page failed. See the log of the server for details.")
    # This response bypasses the middleware that adds the headers to all others.
    response.headers.update({**HEADERS, "Cache-Control": "no-store"})
    return response


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    QueryError: _question,
    HTTPException: _http,
    SetupError: _unavailable,
    LogError: _unavailable,
    DatabaseError: _unavailable,
    TieoutError: _unavailable,
    Exception: _fault,
}
