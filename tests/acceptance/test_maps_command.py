"""`tieout maps`: validates, shows and explains the map files of the settings."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.commandline import Tieout, error_text
from tests.support.ingest_lines import process_message, row_change
from tests.support.payloads import EXAMPLES
from tieout.maintenance.map_files import load_maps
from tieout.settings import Settings

OWN_MAP = """
schema = 1
version = "3"
source = "dataverse"
[entities.msdyn_project]
columns.number = "contoso_projectnumber"
"""


@pytest.fixture
def own_map(tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A map file of the environment's own."""
    (tmp_path / "contoso.toml").write_text(OWN_MAP)
    monkeypatch.setenv("TIEOUT_MAPS", "contoso.toml")
    return tmp_path / "contoso.toml"


@pytest.mark.requirement("R6")
def test_maps_check_says_which_files_are_in_force(tieout: Tieout, own_map: Path) -> None:
    told = tieout("maps", "check")
    assert (told.code, told.err) == (0, "")
    assert re.fullmatch(r"ok: finance.toml [\d.]+, dataverse.toml [\d.]+, contoso.toml 3; \d+ entities\n", told.out)


@pytest.mark.requirement("R6")
def test_maps_check_names_file_table_and_key_of_a_mistake(tieout: Tieout, own_map: Path) -> None:
    own_map.write_text(OWN_MAP.replace("columns.number", "columns.numbr"))
    told = tieout("maps", "check")
    assert told.code == 1
    assert "contoso.toml: [entities.msdyn_project] columns.numbr: a record 'project' has no such field" in told.err


@pytest.mark.requirement("R6")
def test_maps_check_points_to_a_link_that_joins_nothing(tieout: Tieout, own_map: Path) -> None:
    own_map.write_text(OWN_MAP + '[entities.msdyn_actual]\nidentity = [{ link = "actuals", by = "id" }]\n')
    assert (
        "warning: contoso.toml: [entities.msdyn_actual] identity actuals: no other entity"
        in tieout("maps", "check").out
    )


@pytest.mark.requirement("R6")
def test_maps_show_tells_which_file_says_each_key(tieout: Tieout, own_map: Path) -> None:
    told = tieout("maps", "show", "MSDYN_PROJECT")
    assert 'columns.number = "contoso_projectnumber"  # contoso.toml\n' in told.out
    assert 'columns.name = "msdyn_subject"  # dataverse.toml\n' in told.out
    (shown,) = tieout("maps", "show", "msdyn_project", "--json").lines
    assert shown["origins"]["columns.number"] == "contoso.toml"
    assert tieout("maps", "show", "nothing").code == 1


@pytest.mark.requirement("R6")
def test_what_maps_show_prints_is_a_map_that_says_the_same(tieout: Tieout, own_map: Path) -> None:
    for source in ("finance", "dataverse"):
        tables = tieout("maps", "show").out.split("\n\n")
        mine = [table for table in tables if table.partition("\n")[0].endswith(f"# {source}")]
        header = f'schema = 1\nversion = "copy"\nsource = "{source}"\n'
        own_map.with_name(f"{source}-copy.toml").write_text(header + "\n".join(mine))
    before = load_maps(Settings(maps=("contoso.toml",)))
    after = load_maps(Settings(maps=("contoso.toml", "finance-copy.toml", "dataverse-copy.toml")))
    assert after.digest == before.digest


@pytest.mark.requirement("R6")
def test_maps_explain_tells_what_an_event_becomes_and_why(tieout: Tieout) -> None:
    example = str(EXAMPLES / "fno-data-event-staging-updated.json")
    (told,) = tieout("maps", "explain", example, "--json").lines
    reading = told["reading"]
    assert (reading["entity"], reading["record"], reading["company"]) == ("ProjCDSActualsImport", "staging", "USPM")
    cells = {cell["column"]: cell for cell in reading["cells"]}
    where = "finance.toml: [entities.ProjCDSActualsImport] columns."
    assert cells["mserp_voucher"] == {
        "column": "mserp_voucher",
        "field": "voucher",
        "value": "USPM-000051",
        "because": f"{where}voucher, as Voucher",
    }
    assert cells["mserp_primaryfield"]["because"] == f"{where}actual; ActualId takes precedence"
    assert cells["mserp_quantity"]["because"] == "no field reads this column"
    links = {tie["name"]: tie["value"] for tie in reading["ties"]}
    assert links["row"].startswith("row:")
    assert links["journal-line"] is None
    shown = tieout("maps", "explain", example).out
    for part in ("ProjCDSActualsImport: role staging, step 6", "Company: USPM", "USPM-000051"):
        assert part in shown


@pytest.mark.requirement("R6")
@pytest.mark.parametrize(
    ("column", "value", "field", "read", "because"),
    [
        ("statuscode", 900000002, "status", "confirmed", "choices.status.confirmed"),
        ("statuscode", 7, "status", None, "choices.status: 7 is not among the choices"),
        ("msdyn_vendorinvoicenumber", "", "number", None, "columns.number; empty, so no value"),
        ("msdyn_owningcompany", "USPM", "company", None, "columns.company; the value is no guid"),
        ("msdyn_enableautomaticconfirmation", True, "automatic_confirmation", "true", "columns.automatic_confirmation"),
    ],
)
def test_maps_explain_says_why_a_value_is_or_is_not_read(
    tieout: Tieout, column: str, value: Any, field: str, read: str | None, because: str
) -> None:
    line = row_change(
        "msdyn_projectvendorinvoice", "4b1e3d75-a749-ef11-acce-0022480431d9", source="dataverse", **{column: value}
    )
    (told,) = tieout("maps", "explain", "-", "--json", stdin=json.dumps(line["value"]).encode()).lines
    (cell,) = told["reading"]["cells"]
    assert (cell["field"], cell["value"]) == (field, read)
    assert cell["because"] == f"dataverse.toml: [entities.msdyn_projectvendorinvoice] {because}"


@pytest.mark.requirement("R6")
def test_maps_explain_says_when_there_is_nothing_to_explain(tieout: Tieout) -> None:
    unknown = (EXAMPLES / "dataverse-delete.json").read_bytes().replace(b"msdyn_journalline", b"contact")
    assert "Add a table [entities.contact] to a map file" in tieout("maps", "explain", "-", stdin=unknown).out
    cut = (EXAMPLES / "dataverse-truncated-update.json").read_bytes()
    assert "tieout reads the row again" in tieout("maps", "explain", "-", stdin=cut).out
    notice = (EXAMPLES / "fno-business-event-vendorinvoiceposted.json").read_bytes()
    assert "it needs no map" in tieout("maps", "explain", "-", stdin=notice).out
    said = json.dumps(process_message("Failed to confirm journal 1 in Dataverse.", "e1")["value"]).encode()
    assert "needs no map" in tieout("maps", "explain", "-", stdin=said).out


@pytest.mark.requirement("R6")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("schema =", "not TOML"),
        ("schema = 99", "schema is 99"),
        (
            'schema = 1\nversion = "1"\nsource = "finance"\n[entities.Own]\nrecord = "nothing"',
            "'nothing' is not one of",
        ),
    ],
)
@pytest.mark.parametrize("command", [["run", "--until-caught-up"], ["summary", "--company", "USPM"]])
def test_a_wrong_map_file_is_named_with_what_is_wrong(
    tieout: Tieout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
    said: str,
    command: Iterable[str],
) -> None:
    if content is not None:
        (tmp_path / "own.toml").write_text(content)
    monkeypatch.setenv("TIEOUT_MAPS", "own.toml")
    error = error_text(tieout(*command))
    assert said in error
    assert "own.toml" in error
