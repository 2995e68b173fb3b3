"""What Sync needs in both systems (R48), against what was found there.

The versions are those of the article on the Project Operations integration workspace (`docs/domain/workspace.md`).
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

SOLUTION: Final = "4.124.0.690"
"""The least version of Project Operations in Dataverse."""

FINANCE: Final = "10.0.43"
"""The least version of Finance."""

MAPS: Final[Mapping[str, str]] = {
    "msdyn_expenses": "1.0.0.5",
    "msdyn_projectvendorinvoices": "1.0.0.1",
    "msdyn_projectvendorinvoicelines": "1.0.0.8",
}
"""The least version of each dual-write map; that of the vendor invoices is the one of V2."""

FEATURE: Final = "Project Operations integration workspace"
"""The feature that must be on in Finance's feature management."""

NAMES: Final = ("feature", "solution", "finance", *MAPS)
"""What is looked at; also what an administrator may confirm by these names."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, by the names of `NAMES`: a version, `on` or `off` for the feature. `unknown` says of what could
    not be seen why not.
    """

    found: dict[str, str] = {}
    unknown: dict[str, str] = {}


class Prerequisite(msgspec.Struct, frozen=True):
    """One of them. `met` is None when it is not known; `says` is what was found, and what to do when it is not met."""

    name: str
    met: bool | None
    text: str


def check(observed: Observed, confirmed: Collection[str] = ()) -> list[Prerequisite]:
    """Each prerequisite. What could not be seen counts as met when it is among `confirmed`; what was seen and is too
    old does not.
    """
    return [_one(name, observed, name in confirmed) for name in NAMES]


def unmet(prerequisites: Collection[Prerequisite]) -> list[Prerequisite]:
    """Those for which the sync does not start: what is missing, and what nobody knows."""
    return [one for one in prerequisites if not one.met]


def _one(name: str, observed: Observed, confirmed: bool) -> Prerequisite:
    found = observed.found.get(name)
    if found is None:
        if confirmed:
            return Prerequisite(name, True, f"{_WHAT[name]}: confirmed by the administrator")
        why = observed.unknown.get(name, "it was not checked")
        return Prerequisite(
            name, None, f"{_WHAT[name]}: not known ({why}). Check it manually, then add {name} to TIEOUT_CONFIRMED"
        )
    if name == "feature":
        if found == "on":
            return Prerequisite(name, True, f"{_WHAT[name]} is on")
        return Prerequisite(name, False, f"{_WHAT[name]} is off. Turn it on in Finance, Feature management")
    needed = _LEAST[name]
    if version(found) >= version(needed):
        return Prerequisite(name, True, f"{_WHAT[name]} {found}")
    return Prerequisite(name, False, f"{_WHAT[name]} {found} is too old. Update it to {needed} or later")


_LEAST: Final = {"solution": SOLUTION, "finance": FINANCE, **MAPS}
_WHAT: Final = {
    "feature": f"the feature {FEATURE}",
    "solution": "Project Operations in Dataverse",
    "finance": "Finance",
    **{name: f"the dual-write map {name}" for name in MAPS},
}


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version, by which versions compare.

    >>> version("10.0.43 (10.0.2177.37)")
    (10, 0, 43)
    """
    found = re.match(r"\s*v?(\d{1,9}(?:\.\d{1,9})*)", text, re.ASCII)
    return tuple(int(part) for part in found[1].split(".")) if found else ()
