"""The processes that Sync starts (R42), each by an OData action or a batch job that the settings name.

Microsoft documents no public API for them. A customer exposes them by an X++ extension in Finance or a custom API in
Dataverse, or schedules a batch job, which is then requeued.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.sync.actions import SYNC_ACTIONS
from handlers.errors import Configuration

if TYPE_CHECKING:  # The settings import this module to parse targets, and must not import the HTTP client.
    from handlers.api.dataverse import Dataverse
    from handlers.api.finance import Finance

PROCESSES: Final = tuple(SYNC_ACTIONS)
"""The names of the processes: each action of the registry calls one."""
IN_DATAVERSE: Final = tuple(name for name, action in SYNC_ACTIONS.items() if action.system == "Dataverse")

_BATCH_JOB: Final = re.compile(r"batch-job:(\d{1,19})")
_FINANCE_ACTION: Final = re.compile(r"(?P<on>\w+(?:\([^()]*\))?)/(?:Microsoft\.Dynamics\.DataEntities\.)?(?P<name>\w+)")
_DATAVERSE_ACTION: Final = re.compile(r"\w+")


class Target(msgspec.Struct, frozen=True):
    """The endpoint of a process: an action, in Finance on an entity set, or a batch job of Finance by its number."""

    action: str = ""
    on: str = ""
    batch_job: int = 0


def read_target(process: str, text: str) -> Target | None:
    """Parse the value of a setting; None if it is invalid. For Finance it is `EntitySet/action` or `batch-job:NUMBER`,
    for Dataverse the name of an action.
    """
    if process in IN_DATAVERSE:
        return Target(action=text) if _DATAVERSE_ACTION.fullmatch(text) else None
    if match := _BATCH_JOB.fullmatch(text):
        return Target(batch_job=int(match[1]))
    if match := _FINANCE_ACTION.fullmatch(text):
        return Target(action=match["name"], on=match["on"])
    return None


class Processes:
    """Starts the processes of one pair of systems."""

    def __init__(self, finance: "Finance", dataverse: "Dataverse", targets: Mapping[str, Target]) -> None:
        self._finance = finance
        self._dataverse = dataverse
        self._targets = targets

    def names(self) -> frozenset[str]:
        """Return the processes that can be started."""
        return frozenset(self._targets)

    def start(self, process: str, parameters: Mapping[str, Any], *, on: str = "") -> dict[str, Any]:
        """Start a process and return the result of its action; a batch job takes no parameters and returns no result.

        `on` is the row of Dataverse that an action is bound to (`msdyn_journals(guid)`). docs/connectors.md lists the
        parameters. Raises `Configuration` if no setting names the process, and the errors of the call.
        """
        target = self._targets.get(process)
        if target is None:
            raise Configuration(
                f"{SYNC_ACTIONS[process].process}: not sent, because no setting names its action. Set "
                f"TIEOUT_PROCESS_{process.upper()} (docs/connectors.md)."
            )
        if target.batch_job:
            self._finance.requeue(target.batch_job)
            return {}
        if process in IN_DATAVERSE:
            return self._dataverse.act(target.action, parameters, on=on)
        return self._finance.act(target.action, parameters, on=target.on)
