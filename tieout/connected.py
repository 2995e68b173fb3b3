"""The two systems as `tieout check` looks at them: whether they answer, and have what Sync needs (R48)."""

from collections.abc import Iterator

from engine.prerequisites import Prerequisite, check
from handlers.errors import TargetError
from handlers.prerequisites import observe
from tieout.connectors import Connectors, open_connectors
from tieout.settings import Settings


def prerequisites(to: Connectors, settings: Settings) -> list[Prerequisite]:
    """What Sync needs in both systems, as it is there. The sync starts when `engine.prerequisites.unmet` is empty."""
    return check(observe(to.finance, to.dataverse), settings.confirmed)


def looked_at(settings: Settings) -> Iterator[tuple[str, bool | None, str]]:
    """What `tieout check` says of both systems: name, whether it is right, and what was found or what to do."""
    with open_connectors(settings) as to:
        questions = (("finance", to.finance.connection, ""), ("dataverse", to.dataverse.connection, "WhoAmI"))
        away = False
        for system, connection, question in questions:
            try:
                connection.get(question)
            except TargetError as error:
                away = True
                yield system, False, str(error)
            else:
                yield system, True, "answers, and knows the application"
        switch = "switched on" if settings.outgoing else "switched off: nothing is changed in either system"
        yield "outgoing", True, f"calls that change something are {switch}"
        if away:
            yield "needed", None, "not looked at: both systems must answer first"
            return
        for one in prerequisites(to, settings):
            yield "needed", one.met, one.says
