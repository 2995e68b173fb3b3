"""The processes that Sync starts (R42): each by an OData action or a batch job that the installation names.

Microsoft documents no public API for them. A customer exposes them, by an X++ extension in Finance or a custom API in
Dataverse, or schedules a batch job that we let run again.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from handlers.errors import Configuration

if TYPE_CHECKING:  # The settings read targets, and need no HTTP for that.
    from handlers.api.dataverse import Dataverse
    from handlers.api.finance import Finance

IN_FINANCE: Final = ("import", "posting", "export")
IN_DATAVERSE: Final = ("approval", "confirmation", "resend", "journal")
PROCESSES: Final = IN_FINANCE + IN_DATAVERSE
"""Import from staging, posting of integration journals, re-export of a document to Dataverse; re-run of an expense's
approval, of an invoice's confirmation, sending an actual to Finance again, confirming a journal.
"""

_WHAT: Final = {
    "import": "Import from staging",
    "posting": "posting of integration journals",
    "export": "re-export of a Finance document",
    "approval": "approval of an expense",
    "confirmation": "confirmation of a vendor invoice",
    "resend": "sending an actual to Finance again",
    "journal": "confirming a journal in Dataverse",
}
_BATCH_JOB: Final = re.compile(r"batch-job:(\d{1,19})")
_FINANCE_ACTION: Final = re.compile(r"(?P<on>\w+(?:\([^()]*\))?)/(?:Microsoft\.Dynamics\.DataEntities\.)?(?P<name>\w+)")
_DATAVERSE_ACTION: Final = re.compile(r"\w+")


class Target(msgspec.Struct, frozen=True):
    """Where a process is reached: an action, on an entity set in Finance; or a batch job."""

    action: str = ""
    on: str = ""
    batch_job: int = 0


def read_target(process: str, written: str) -> Target | None:
    """A setting's value as a target; None when it is none. In Finance `EntitySet/action` or `batch-job:NUMBER`, in
    Dataverse the name of an action.
    """
    if process in IN_DATAVERSE:
        return Target(action=written) if _DATAVERSE_ACTION.fullmatch(written) else None
    if found := _BATCH_JOB.fullmatch(written):
        return Target(batch_job=int(found[1]))
    if found := _FINANCE_ACTION.fullmatch(written):
        return Target(action=found["name"], on=found["on"])
    return None


class Processes:
    """Starts processes of one pair of systems."""

    def __init__(self, finance: "Finance", dataverse: "Dataverse", targets: Mapping[str, Target]) -> None:
        self._finance = finance
        self._dataverse = dataverse
        self._targets = targets

    def names(self) -> frozenset[str]:
        """The processes that can be started."""
        return frozenset(self._targets)

    def start(self, process: str, parameters: Mapping[str, Any], *, on: str = "") -> dict[str, Any]:
        """Start a process and return what its action answers; a batch job takes no parameters and answers nothing.

        `on` is the row of Dataverse that an action is bound to (`msdyn_journals(guid)`). The parameters are those of
        docs/connectors.md. Raises `Configuration` when no setting says how, and what the call raises.
        """
        target = self._targets.get(process)
        if target is None:
            raise Configuration(
                f"{_WHAT[process]}: not sent, since no setting says how it is reached. Set "
                f"TIEOUT_PROCESS_{process.upper()} (docs/connectors.md)."
            )
        if target.batch_job:
            self._finance.requeue(target.batch_job)
            return {}
        if process in IN_DATAVERSE:
            return self._dataverse.act(target.action, parameters, on=on)
        return self._finance.act(target.action, parameters, on=target.on)
