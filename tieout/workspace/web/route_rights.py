"""The right that each route of the workspace needs. A route without an entry cannot be served (R83)."""

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from tieout.access.identities import Right


class Scope(Enum):
    """Where an identity needs the right of a route."""

    PUBLIC = "public"
    """Nowhere: the route is for everybody."""
    COMPANY = "company"
    """In the company of the address."""
    SOMEWHERE = "somewhere"
    """In some company: the page shows what the identity may see."""
    EVERYWHERE = "everywhere"
    """In every company: the page shows what belongs to no company."""


class RouteRight(NamedTuple):
    """A right, and where it is needed."""

    right: Right
    scope: Scope


PUBLIC: Final = RouteRight(Right.VIEW, Scope.PUBLIC)
VIEW: Final = RouteRight(Right.VIEW, Scope.COMPANY)
OPERATE: Final = RouteRight(Right.OPERATE, Scope.COMPANY)
VIEW_SOMEWHERE: Final = RouteRight(Right.VIEW, Scope.SOMEWHERE)

ROUTE_RIGHTS: Final[Mapping[tuple[str, str], RouteRight]] = {
    ("GET", "/static/{name}"): PUBLIC,
    ("GET", "/health"): PUBLIC,
    ("GET", "/theme"): PUBLIC,
    ("GET", "/sign-in"): PUBLIC,
    ("GET", "/sign-in/callback"): PUBLIC,
    ("GET", "/signed-out"): PUBLIC,
    ("POST", "/sign-out"): PUBLIC,
    ("GET", "/"): VIEW_SOMEWHERE,
    ("GET", "/company"): VIEW_SOMEWHERE,
    ("GET", "/{company}"): VIEW,
    ("GET", "/{company}/expense"): VIEW,
    ("GET", "/{company}/expense.csv"): VIEW,
    ("GET", "/{company}/vendor-invoice-lines"): VIEW,
    ("GET", "/{company}/vendor-invoice-lines.csv"): VIEW,
    ("GET", "/{company}/document/{name:path}"): VIEW,
    ("GET", "/{company}/balance"): VIEW,
    ("POST", "/{company}/balance"): OPERATE,
    ("GET", "/{company}/findings"): VIEW,
    ("GET", "/{company}/findings.csv"): VIEW,
    ("GET", "/{company}/account/{part}"): VIEW,
    ("GET", "/{company}/account/{part}.csv"): VIEW,
    ("GET", "/{company}/postings-without-document"): VIEW,
    ("GET", "/{company}/postings-without-document.csv"): VIEW,
    ("GET", "/{company}/not-synced"): VIEW,
    ("GET", "/{company}/not-synced.csv"): VIEW,
    ("GET", "/{company}/invoice-proposals"): VIEW,
    ("GET", "/{company}/invoice-proposals.csv"): VIEW,
    ("GET", "/{company}/general-journals"): VIEW,
    ("GET", "/{company}/general-journals.csv"): VIEW,
    ("GET", "/{company}/errors"): VIEW,
    ("GET", "/{company}/errors.csv"): VIEW,
    ("GET", "/{company}/errors/history"): VIEW,
    ("GET", "/{company}/errors/delete"): OPERATE,
    ("POST", "/{company}/errors/delete"): OPERATE,
    ("GET", "/{company}/sync"): VIEW,
    ("POST", "/{company}/sync"): OPERATE,
    # A preview calls both systems.
    ("GET", "/{company}/sync/preview"): OPERATE,
    ("GET", "/{company}/sync/preview.csv"): OPERATE,
    ("GET", "/{company}/sync/{run}"): VIEW,
    ("GET", "/{company}/sync/{run}.csv"): VIEW,
    ("GET", "/operation"): VIEW_SOMEWHERE,
    ("GET", "/operation/checks"): RouteRight(Right.ADMINISTER, Scope.EVERYWHERE),
    # Rejected events could not be decoded, so their company is unknown.
    ("GET", "/operation/rejected"): RouteRight(Right.READ_EVENTS, Scope.EVERYWHERE),
    # The page checks the company of the event.
    ("GET", "/event/{topic}/{partition}/{offset}"): RouteRight(Right.READ_EVENTS, Scope.SOMEWHERE),
    ("GET", "/event/{topic}/{partition}/{offset}/bytes"): RouteRight(Right.READ_EVENTS, Scope.SOMEWHERE),
}
