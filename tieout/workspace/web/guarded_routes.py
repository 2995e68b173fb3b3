"""Routes that are served only with the right that they need (`route_rights`). Nothing else checks a page's right."""

from collections.abc import Iterable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as RequestScope

from tieout.access.errors import NotSignedIn
from tieout.access.identities import Identity
from tieout.workspace.web.context import Workspace
from tieout.workspace.web.identity import require_for_route, set_identity
from tieout.workspace.web.route_rights import ROUTE_RIGHTS, RouteRight, Scope


class GuardedRoute(Route):
    """A route with the rights of its methods. Raises `NotSignedIn` or `AccessDenied` before its page is called."""

    def __init__(self, route: Route, rights: Mapping[str, RouteRight]) -> None:
        super().__init__(route.path, route.endpoint, methods=list(rights), name=route.name)
        self._rights = rights

    async def handle(self, scope: RequestScope, receive: Receive, send: Send) -> None:
        """Serve a request whose identity has the right; other methods are answered by 405."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        needed = self._rights.get(method)
        if needed is not None and needed.scope is not Scope.PUBLIC:
            identity = await _identity(scope)
            require_for_route(identity, needed, scope["path_params"].get("company", ""))
        await super().handle(scope, receive, send)


async def _identity(scope: RequestScope) -> Identity:
    """Return the identity of a request, and set it for the page. Raises `NotSignedIn`."""
    workspace: Workspace = scope["app"].state.workspace
    if workspace.sign_in is None:
        identity = workspace.local
    else:
        signed_in = await run_in_threadpool(workspace.sign_in.identity, Request(scope))
        if signed_in is None:
            raise NotSignedIn("this page needs sign-in.")
        identity = signed_in
    set_identity(scope, identity)
    return identity


def guarded(routes: Iterable[Route]) -> list[GuardedRoute]:
    """Return the routes with their rights. Raises `LookupError` for a route without an entry in the table."""
    return [GuardedRoute(route, _rights_of(route)) for route in routes]


def _rights_of(route: Route) -> dict[str, RouteRight]:
    methods = [method for method in sorted(route.methods or {"GET"}) if method != "HEAD"]
    if missing := [method for method in methods if (method, route.path) not in ROUTE_RIGHTS]:
        raise LookupError(f"{missing[0]} {route.path} has no entry in ROUTE_RIGHTS.")
    return {method: ROUTE_RIGHTS[method, route.path] for method in methods}
