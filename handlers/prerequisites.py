"""Reads the versions and features of both systems that Sync needs (R48); `engine.sync.prerequisites` evaluates them."""

import re
from collections.abc import Callable
from typing import Final

from engine.sync.prerequisites import FEATURE, MAPS, Observed, version
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.errors import TargetError

SOLUTION: Final = "ProjectOperations_Anchor"
"""The solution that installs Project Operations, as the article on provisioning names it."""


def observe(finance: Finance, dataverse: Dataverse) -> Observed:
    """Return the versions of both systems. What cannot be read is unknown, with the reason; no error is raised."""
    versions: dict[str, str] = {}
    unknown = {"feature": f"no public API tells whether {FEATURE} is on"}

    def read(call: Callable[[], dict[str, str]], *names: str) -> None:
        try:
            installed = call()
        except TargetError as error:
            unknown.update(dict.fromkeys(names, str(error)))
            return
        versions.update(installed)
        unknown.update({name: "it is not installed" for name in names if name not in installed})

    read(lambda: _solution(dataverse), "solution")
    read(lambda: {"finance": finance.version()}, "finance")
    read(lambda: _maps(dataverse), *MAPS)
    return Observed(values=versions, unknown=unknown)


def _solution(dataverse: Dataverse) -> dict[str, str]:
    rows = dataverse.entity_set("solution")
    pages = dataverse.pages(rows, select=["uniquename", "version"], where=f"uniquename eq '{SOLUTION}'")
    for page in pages:
        for row in page.rows:
            return {"solution": str(row.get("version") or "")}
    return {}


def _maps(dataverse: Dataverse) -> dict[str, str]:
    """Return the latest version of each installed map; each version of a map is a row of its own."""
    latest: dict[str, str] = {}
    select = ["msdyn_name", "msdyn_displayname", "msdyn_version"]
    for page in dataverse.pages(dataverse.entity_set("msdyn_dualwriteentitymap"), select=select):
        for row in page.rows:
            names = f"{row.get('msdyn_displayname') or ''} {row.get('msdyn_name') or ''}"
            text = str(row.get("msdyn_version") or "")
            for name in MAPS:
                if _is_map(name, names) and version(text) > version(latest.get(name, "")):
                    latest[name] = text
    return latest


def _is_map(name: str, names: str) -> bool:
    """Return True if the names of a map contain the table `name`. V1 of the vendor invoices is deprecated."""
    return bool(re.search(rf"\b{name}\b", names)) and (name != "msdyn_projectvendorinvoices" or "V2" in names)
