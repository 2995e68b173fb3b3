"""Who may see a raw event: the companies of its content decide (R83)."""

from starlette.requests import Request

from engine.errors import Rejected
from engine.events.facts import Change, ProcessMessage
from streams import codec
from streams.log import LogRecord
from tieout.access.errors import AccessDenied
from tieout.access.identities import Right
from tieout.workspace.web.identity import identity_of


def require_event(request: Request, record: LogRecord) -> None:
    """Raise `AccessDenied` unless the identity may read the raw events of each company in an event. An event whose
    company is unknown, such as a row of Dataverse that names none, needs the right in every company.
    """
    identity = identity_of(request)
    for company in _companies(record):
        if company is None and not identity.may_everywhere(Right.READ_EVENTS):
            raise AccessDenied(Right.READ_EVENTS, None)
        if company is not None and not identity.may(Right.READ_EVENTS, company):
            # Without its name: the reader may not see which company it is.
            raise AccessDenied(Right.READ_EVENTS, None)


def _companies(record: LogRecord) -> set[str | None]:
    """Return the companies of an event; None stands for an unknown one."""
    try:
        facts = codec.decode(record.value, record.headers, undated=True)
    except Rejected:
        return {None}
    companies = {fact.company or None if isinstance(fact, Change | ProcessMessage) else None for fact in facts}
    return companies or {None}
