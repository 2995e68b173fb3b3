"""The identity of a request, and its rights (R83)."""

from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.types import Scope as RequestScope

from tieout.access.errors import AccessDenied
from tieout.access.identities import Identity, Right
from tieout.workspace.web.route_rights import RouteRight, Scope

_KEY: Final = "tieout.identity"

NOBODY: Final = Identity("", frozenset(), signed_in=False)
"""The identity of a request that is not signed in."""


def set_identity(scope: RequestScope, identity: Identity) -> None:
    """Set the identity of a request."""
    scope[_KEY] = identity


def identity_of(request: Request) -> Identity:
    """Return the identity of a request; `NOBODY` if it is not signed in."""
    identity: Identity = request.scope.get(_KEY, NOBODY)
    return identity


def require(identity: Identity, right: Right, company: str) -> None:
    """Raise `AccessDenied` unless an identity has a right in a company."""
    if not identity.may(right, company):
        raise AccessDenied(right, company.upper())


def require_for_route(identity: Identity, needed: RouteRight, company: str) -> None:
    """Raise `AccessDenied` unless an identity has the right that a route needs; `company` is that of its address."""
    right, scope = needed
    if scope is Scope.COMPANY:
        require(identity, right, company)
    elif scope is Scope.SOMEWHERE and not identity.may_somewhere(right):
        raise AccessDenied(right, "")
    elif scope is Scope.EVERYWHERE and not identity.may_everywhere(right):
        raise AccessDenied(right, None)


def visible(request: Request, companies: Iterable[str]) -> list[str]:
    """Return those of the companies that the identity of a request may see."""
    identity = identity_of(request)
    return [company for company in companies if identity.may(Right.VIEW, company)]


def sees(request: Request, company: str | None) -> bool:
    """Return True if the identity of a request may see the rows of a company; those of no known company (None) only
    with the right in every company.
    """
    identity = identity_of(request)
    return identity.may_everywhere(Right.VIEW) if company is None else identity.may(Right.VIEW, company)


def require_document(request: Request, name: str) -> None:
    """Raise `AccessDenied` if a name is that of a document in a company that the identity may not see, whether or not
    the document exists.
    """
    require(identity_of(request), Right.VIEW, name.partition("/")[0])
