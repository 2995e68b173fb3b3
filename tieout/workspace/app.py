"""The workspace as an ASGI application: routes, middleware, error pages."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import structlog
from sqlalchemy.exc import DatabaseError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.errors import NotFound, QueryError, SetupError, TieoutError
from streams.log import LogError
from tieout.access.errors import AccessDenied, NotSignedIn
from tieout.access.identities import Right, Role
from tieout.settings import Settings
from tieout.sync.planning import TooManyCalls
from tieout.workspace import pages
from tieout.workspace.web.concurrency_limit import BufferedForms, ConcurrencyLimit
from tieout.workspace.web.context import Workspace, problem_text, texts_of, workspace_of
from tieout.workspace.web.guarded_routes import GuardedRoute, guarded
from tieout.workspace.web.identity import identity_of
from tieout.workspace.web.proxies import TrustedProxies
from tieout.workspace.web.rendering import render, sentence, static_response
from tieout.workspace.web.security import RejectNul, SameOriginForms, SecurityHeaders, TrustedHosts, headers_of
from tieout.workspace.web.theme import choose_theme

log = structlog.get_logger(__name__)


def _middleware(settings: Settings) -> list[Middleware]:
    return [
        Middleware(SecurityHeaders, settings=settings),
        Middleware(TrustedProxies, settings=settings),
        Middleware(TrustedHosts, settings=settings),
        Middleware(RejectNul),
        Middleware(SameOriginForms, settings=settings),
        Middleware(BufferedForms),
        Middleware(ConcurrencyLimit),
    ]


def make_app(workspace: Workspace) -> Starlette:
    """Build the application over a store and a log. It only reads them; requests of people go out as commands."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        workspace.close()

    app = Starlette(
        routes=routes(),
        middleware=_middleware(workspace.settings),
        exception_handlers=_HANDLERS,
        lifespan=lifespan,
    )
    app.state.workspace = workspace
    app.state.navigation = pages.navigation
    return app


def routes() -> list[GuardedRoute]:
    """Return every route, each with the right that it needs."""
    public = [
        Route("/static/{name}", static_response),
        Route("/theme", choose_theme),
        Route("/health", lambda request: PlainTextResponse("ok")),
    ]
    return guarded([*public, *pages.routes()])


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


def _sign_in(request: Request, error: Exception) -> Response:
    """Redirect a person who is not signed in; say it to a form, and to a script, which cannot follow the redirect."""
    target = quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
    if request.method in ("GET", "HEAD") and request.headers.get("sec-fetch-dest", "document") != "empty":
        return RedirectResponse(f"/sign-in?then={quote(target, safe='')}", status_code=303)
    texts = texts_of(request)
    text = texts.gettext("Your session has ended, and nothing was changed. Open the workspace to sign in again.")
    return _message(request, 401, texts.gettext("Signed out"), text)


def _denied(request: Request, error: Exception) -> Response:
    """Answer a request that the roles of the identity do not permit."""
    assert isinstance(error, AccessDenied)
    texts, needed = texts_of(request), _ROLES[error.right]
    if error.company:
        text = texts.gettext(
            "This needs the role %(role)s in the company %(company)s. Ask the administrator of tieout for it.",
            role=needed,
            company=error.company,
        )
    elif error.company is None:
        text = texts.gettext(
            "This needs the role %(role)s in every company. Ask the administrator of tieout for it.", role=needed
        )
    else:
        text = texts.gettext("This needs the role %(role)s. Ask the administrator of tieout for it.", role=needed)
    log.warning("access_denied", path=request.url.path, name=identity_of(request).name, right=error.right)
    return _message(request, 403, texts.gettext("No access"), text)


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
    response.headers.update({**headers_of(workspace_of(request).settings), "Cache-Control": "no-store"})
    return response


_ROLES: Final[Mapping[Right, Role]] = {
    Right.VIEW: Role.VIEWER,
    Right.OPERATE: Role.OPERATOR,
    Right.ADMINISTER: Role.ADMINISTRATOR,
    Right.READ_EVENTS: Role.RAW_EVENTS,
}
"""The least role that has each right."""

_HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    QueryError: _question,
    HTTPException: _http,
    SetupError: _unavailable,
    LogError: _unavailable,
    NotSignedIn: _sign_in,
    AccessDenied: _denied,
    DatabaseError: _unavailable,
    TieoutError: _unavailable,
    Exception: _fault,
}
