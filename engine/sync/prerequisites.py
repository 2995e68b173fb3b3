"""The prerequisites of Sync in both systems (R48), compared with the observed state.

The versions are those of the article on the Project Operations integration workspace (`docs/domain/workspace.md`).
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

SOLUTION: Final = "4.124.0.690"
"""The minimum version of Project Operations in Dataverse."""

FINANCE: Final = "10.0.43"
"""The minimum version of Finance."""

MAPS: Final[Mapping[str, str]] = {
    "msdyn_expenses": "1.0.0.5",
    "msdyn_projectvendorinvoices": "1.0.0.1",
    "msdyn_projectvendorinvoicelines": "1.0.0.8",
}
"""The minimum version of each dual-write map; for vendor invoices that of V2."""

FEATURE: Final = "Project Operations integration workspace"
"""The feature that must be enabled in feature management of Finance."""

NAMES: Final = ("feature", "solution", "finance", *MAPS)
"""The prerequisites by name; an administrator may confirm them by these names."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """The observed state, by the names of `NAMES`: a version, or `on` or `off` for the feature.

    `unknown` maps what could not be observed to the reason.
    """

    values: dict[str, str] = {}
    unknown: dict[str, str] = {}


class Prerequisite(msgspec.Struct, frozen=True):
    """A prerequisite. `met` is None if unknown; `text` is the observed state, with the remedy if it is not met."""

    name: str
    met: bool | None
    text: str


def check(observed: Observed, confirmed: Collection[str] = ()) -> list[Prerequisite]:
    """Check each prerequisite.

    One that could not be observed counts as met if it is among `confirmed`; an outdated version does not.
    """
    return [_prerequisite(name, observed, name in confirmed) for name in NAMES]


def unmet(prerequisites: Collection[Prerequisite]) -> list[Prerequisite]:
    """Return the prerequisites that prevent Sync: unmet or unknown."""
    return [prerequisite for prerequisite in prerequisites if not prerequisite.met]


def _prerequisite(name: str, observed: Observed, confirmed: bool) -> Prerequisite:
    value = observed.values.get(name)
    if value is None:
        if confirmed:
            return Prerequisite(name, True, f"{_TITLES[name]}: confirmed by the administrator")
        reason = observed.unknown.get(name, "it was not checked")
        return Prerequisite(
            name, None, f"{_TITLES[name]}: not known ({reason}). Check it manually, then add {name} to TIEOUT_CONFIRMED"
        )
    if name == "feature":
        if value == "on":
            return Prerequisite(name, True, f"{_TITLES[name]} is on")
        return Prerequisite(name, False, f"{_TITLES[name]} is off. Turn it on in Finance, Feature management")
    needed = _MINIMUM[name]
    if version(value) >= version(needed):
        return Prerequisite(name, True, f"{_TITLES[name]} {value}")
    return Prerequisite(name, False, f"{_TITLES[name]} {value} is too old. Update it to {needed} or later")


_MINIMUM: Final = {"solution": SOLUTION, "finance": FINANCE, **MAPS}
_TITLES: Final = {
    "feature": f"the feature {FEATURE}",
    "solution": "Project Operations in Dataverse",
    "finance": "Finance",
    **{name: f"the dual-write map {name}" for name in MAPS},
}


def version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparison.

    >>> version("10.0.43 (10.0.2177.37)")
    (10, 0, 43)
    """
    match = re.match(r"\s*v?(\d{1,9}(?:\.\d{1,9})*)", text, re.ASCII)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
