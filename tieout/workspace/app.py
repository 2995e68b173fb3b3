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

from engine.errors import NotFound, QueryError, SetupError, TieoutError
from streams.log import LogError
from tieout.sync.planning import TooManyCalls
from tieout.workspace import pages
from tieout.workspace.web.concurrency_limit import BufferedForms, ConcurrencyLimit
from tieout.workspace.web.context import Workspace, problem_text, texts_of
from tieout.workspace.web.rendering import render, sentence, static_response
from tieout.workspace.web.security import HEADERS, LOOPBACK, RejectNul, SameOriginForms, SecurityHeaders
from tieout.workspace.web.theme import choose_theme

log = structlog.get_logger(__name__)

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
    app.state.navigation = pages.navigation
    return app


def _routes() -> list[Route]:
    return [
        Route("/static/{name}", static_response),
        Route("/theme", choose_theme),
        Route("/health", lambda request: PlainTextResponse("ok")),
        *pages.routes(),
    ]


def _message(request: Request, status: int, title: str, text: str) -> Response:
    response = render(request, "message.html", {"title": title, "text": text, "status": status})
    response.status_code = status
    return response


def _question(request: Request, error: Exception) -> Response:
    """Answer an address that names something unknown, or is invalid."""
    missing = isinstance(error, NotFound)
    texts = texts_of(request)
    if missing:
        title = texts.gettext("Not found")
    elif isinstance(error, TooManyCalls):
        title = texts.gettext("Sync too large")
    else:
        title = texts.gettext("Invalid request")
    return _message(request, 404 if missing else 400, title, sentence(problem_text(error, texts)))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = texts_of(request)
    if error.status_code == 404:
        text = texts.gettext("There is no page at %(address)s.", address=request.url.path)
        return _message(request, 404, texts.gettext("Not found"), text)
    return _message(request, error.status_code, texts.gettext("Request refused"), error.detail)


def _unavailable(request: Request, error: Exception) -> Response:
    """Answer while the store or the event log is unavailable."""
    log.error("page_failed", path=request.url.path, error=type(error).__name__)
    text = str(error.orig) if isinstance(error, DatabaseError) else str(error)
    return _message(request, 503, texts_of(request).gettext("Store or event log unavailable"), text)


def _fault(request: Request, error: Exception) -> Response:
    log.error("page_failed", path=request.url.path, error=type(error).__name__)
    texts = texts_of(request)
    text = texts.gettext("This page failed. See the log of the server for details.")
    response = _message(request, 500, texts.gettext("Internal error"), text)
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
