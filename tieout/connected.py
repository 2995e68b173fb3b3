"""The two systems as `tieout check` looks at them: whether they answer, and have what Sync needs (R48)."""

from collections.abc import Iterator

from engine.prerequisites import Prerequisite, check, unmet
from handlers.errors import TargetError
from handlers.prerequisites import observe
from tieout.connectors import Connectors, open_connectors
from tieout.settings import Settings


def prerequisites(to: Connectors, settings: Settings) -> list[Prerequisite]:
    """What Sync needs in both systems, as it is there. The sync starts when `engine.prerequisites.unmet` is empty."""
    return check(observe(to.finance, to.dataverse), settings.confirmed)


def obstacles(settings: Settings) -> list[str]:
    """Why no sync can start: the systems that do not answer, else the prerequisites that are missing or not known."""
    with open_connectors(settings) as to:
        away = [f"{system.capitalize()} cannot be asked: {error}" for system, error in _away(to) if error is not None]
        return away or [one.says for one in unmet(prerequisites(to, settings))]


def _away(to: Connectors) -> Iterator[tuple[str, TargetError | None]]:
    """Each system, with the error of a call to it."""
    for system, connection, question in (
        ("finance", to.finance.connection, ""),
        ("dataverse", to.dataverse.connection, "WhoAmI"),
    ):
        try:
            connection.get(question)
        except TargetError as error:
            yield system, error
        else:
            yield system, None


def looked_at(settings: Settings) -> Iterator[tuple[str, bool | None, str]]:
    """What `tieout check` says of both systems: name, whether it is right, and what was found or what to do."""
    with open_connectors(settings) as to:
        away = False
        for system, error in _away(to):
            away = away or error is not None
            yield system, error is None, "answers, and knows the application" if error is None else str(error)
        switch = "switched on" if settings.outgoing else "switched off: nothing is changed in either system"
        yield "outgoing", True, f"calls that change something are {switch}"
        if away:
            yield "needed", None, "not looked at: both systems must answer first"
            return
        for one in prerequisites(to, settings):
            yield "needed", one.met, one.says
