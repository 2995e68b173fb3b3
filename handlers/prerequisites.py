"""Looking in both systems for what Sync needs there (R48); `engine.sync.prerequisites` judges it."""

import re
from collections.abc import Callable
from typing import Final

from engine.sync.prerequisites import FEATURE, MAPS, Observed, version
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.errors import TargetError

SOLUTION: Final = "ProjectOperations_Anchor"
"""The solution by which Project Operations is installed, as the article on provisioning names it."""


def observe(finance: Finance, dataverse: Dataverse) -> Observed:
    """What is there. Whatever cannot be read is unknown, with the reason; nothing is raised."""
    found: dict[str, str] = {}
    unknown = {"feature": f"no public API tells whether {FEATURE} is on"}

    def look(read: Callable[[], dict[str, str]], *names: str) -> None:
        try:
            seen = read()
        except TargetError as error:
            unknown.update(dict.fromkeys(names, str(error)))
            return
        found.update(seen)
        unknown.update({name: "it is not installed" for name in names if name not in seen})

    look(lambda: _solution(dataverse), "solution")
    look(lambda: {"finance": finance.version()}, "finance")
    look(lambda: _maps(dataverse), *MAPS)
    return Observed(found=found, unknown=unknown)


def _solution(dataverse: Dataverse) -> dict[str, str]:
    rows = dataverse.entity_set("solution")
    pages = dataverse.pages(rows, select=["uniquename", "version"], where=f"uniquename eq '{SOLUTION}'")
    for page in pages:
        for row in page.rows:
            return {"solution": str(row.get("version") or "")}
    return {}


def _maps(dataverse: Dataverse) -> dict[str, str]:
    """The latest version of each map that is installed; every version of a map is a row of its own."""
    latest: dict[str, str] = {}
    select = ["msdyn_name", "msdyn_displayname", "msdyn_version"]
    for page in dataverse.pages(dataverse.entity_set("msdyn_dualwriteentitymap"), select=select):
        for row in page.rows:
            called = f"{row.get('msdyn_displayname') or ''} {row.get('msdyn_name') or ''}"
            written = str(row.get("msdyn_version") or "")
            for name in MAPS:
                if _is_map(name, called) and version(written) > version(latest.get(name, "")):
                    latest[name] = written
    return latest


def _is_map(name: str, called: str) -> bool:
    """Whether a map is the one meant: by the table in its name. The vendor invoices' first version is deprecated."""
    return bool(re.search(rf"\b{name}\b", called)) and (name != "msdyn_projectvendorinvoices" or "V2" in called)
