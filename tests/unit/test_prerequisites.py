"""What Sync needs in both systems: what is missing is named (R48)."""

import pytest

from engine.sync.prerequisites import FINANCE, MAPS, NAMES, SOLUTION, Observed, check, unmet, version
from handlers.errors import OutgoingOff
from handlers.prerequisites import observe
from tests.support.pairs import Site

pytestmark = pytest.mark.requirement("R48")

ALL = {"feature": "on", "solution": SOLUTION, "finance": FINANCE, **MAPS}


def test_with_just_what_is_needed_nothing_is_missing() -> None:
    assert unmet(check(Observed(values=ALL))) == []


@pytest.mark.parametrize(
    ("name", "found", "met"),
    [
        ("feature", "off", False),
        ("solution", "4.124.0.689", False),
        ("solution", "4.124.0.1000", True),
        ("solution", "4.99.0.0", False),
        ("solution", "5.0", True),
        ("finance", "10.0.42", False),
        ("finance", "10.0.100", True),
        ("finance", "10.0.43 (10.0.2177.37)", True),
        ("finance", "", False),
        ("msdyn_expenses", "1.0.0.4", False),
        ("msdyn_projectvendorinvoicelines", "1.0.0.10", True),
    ],
)
def test_versions_are_compared_by_their_numbers(name: str, found: str, met: bool) -> None:
    missing = unmet(check(Observed(values={**ALL, name: found})))
    assert [one.name for one in missing] == ([] if met else [name])
    assert all(found in one.text for one in missing if found != "off")


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_knows_keeps_the_sync_from_starting_until_somebody_looked(name: str) -> None:
    found = {key: value for key, value in ALL.items() if key != name}
    observed = Observed(values=found, unknown={name: "403 Forbidden"})
    (missing,) = unmet(check(observed))
    assert (missing.name, missing.met) == (name, None)
    assert "403 Forbidden" in missing.text
    assert f"add {name} to TIEOUT_CONFIRMED" in missing.text
    assert unmet(check(observed, [name])) == []


def test_what_is_too_old_cannot_be_confirmed_away() -> None:
    assert [one.name for one in unmet(check(Observed(values={**ALL, "finance": "10.0.40"}), NAMES))] == ["finance"]


def test_a_text_without_a_version_is_older_than_any() -> None:
    assert version("unknown") < version("0.1")


def test_the_pair_is_found_to_have_all_but_what_no_api_tells() -> None:
    site = Site()
    site.on = False
    observed = observe(site.finance, site.dataverse)
    assert observed.values == {
        "solution": "4.160.0.1",
        "finance": "10.0.46",
        "msdyn_expenses": "1.0.0.5",
        "msdyn_projectvendorinvoices": "1.0.0.1",
        "msdyn_projectvendorinvoicelines": "1.0.0.9",
    }
    assert [one.name for one in unmet(check(observed))] == ["feature"]


def test_what_is_missing_or_cannot_be_read_is_named() -> None:
    site = Site()
    site.pair.version = "10.0.39"
    maps = site.pair.tables["msdyn_dualwriteentitymap"].rows
    for row_id, row in list(maps.items()):
        if "msdyn_expenses" in row.text("msdyn_displayname"):
            del maps[row_id]
    observed = observe(site.finance, site.dataverse)
    missing = {one.name: one.text for one in unmet(check(observed, ["feature"]))}
    assert "10.0.39 is too old. Update it to 10.0.43 or later" in missing.pop("finance")
    assert "not installed" in missing.pop("msdyn_expenses")
    assert missing == {}
    site.pair.revoked.add("dataverse")
    unseen = unmet(check(observe(site.finance, site.dataverse), ["feature"]))
    assert {one.name for one in unseen if one.met is None} == {"solution", *MAPS}
    assert all("403" in one.text for one in unseen if one.met is None)


@pytest.mark.requirement("R49")
def test_looking_needs_no_outgoing_calls_and_allows_none() -> None:
    site = Site()
    site.on = False
    observe(site.finance, site.dataverse)
    with pytest.raises(OutgoingOff):
        site.processes.start("import", {"company": "USPM"})
