"""The command line as a person and a program use it: answers, exit codes, and what is said when something is wrong."""

import base64
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.reconciliation.explanations import LABELS
from streams.embedded.log import EmbeddedLog
from tests.support.commandline import Outcome, Tieout, ended, typist
from tests.support.payloads import EXAMPLES
from tieout.maintenance.map_files import load_maps
from tieout.settings import Settings

TODAY = "2025-01-08"
DOCUMENT_KEYS = {
    "document",
    "company",
    "kind",
    "position",
    "excluded",
    "cause",
    "in_flight",
    "amount",
    "currency",
    "missing_actual",
    "missing_journal_line",
    "reconciled",
    "difference",
    "accounting_currency",
    "accounting",
    "date",
    "voucher",
    "project",
    "category",
    "journal",
    "journal_voucher",
    "posted_date",
    "last_retried",
    "findings",
}


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    """A command in a folder of its own, with nothing there yet."""
    settings = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/log.sqlite",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/store.sqlite",
        "TIEOUT_TODAY": TODAY,
        "TIEOUT_COMPANIES": "USPM",
    }
    return typist(tmp_path, settings, monkeypatch, capfd)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, dict[str, str]]:
    """A demonstration as a process of its own, and the environment that it says to set."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    outcome = process("demo", "--no-serve", environment=environment, folder=folder)
    exports = [line.strip().removeprefix("export ") for line in outcome.out.splitlines() if "export " in line]
    told = dict(shlex.split(export)[0].split("=", 1) for export in exports)
    return outcome, {**environment, **told}


@pytest.fixture
def demonstrated(tieout: Tieout, demo: tuple[Outcome, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Tieout:
    """Commands on the data of the demonstration; not for those that change it."""
    for name, value in demo[1].items():
        monkeypatch.setenv(name, value)
    return tieout


def process(
    *arguments: str, environment: dict[str, str] | None = None, folder: Path | None = None, stdin: bytes = b""
) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "tieout", *arguments], env=environment, cwd=folder, input=stdin, capture_output=True
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def row(entity: str, identifier: str, event: str = "", source: str = "finance", **columns: Any) -> dict[str, Any]:
    """A line for `ingest`: a row of an entity as it is now."""
    value = {
        "specversion": "1.0",
        "id": event or f"{entity}-{identifier}",
        "source": f"/{source}/contoso",
        "type": "tieout.row.changed",
        "time": "2025-01-08T09:37:24Z",
        "data": {"entity": entity, "id": identifier, "operation": "upsert", "company": "USPM", "columns": columns},
    }
    return {"topic": f"{source}.changes", "key": identifier, "value": value}


def expense(number: str, **columns: Any) -> dict[str, Any]:
    """A line for `ingest`: a posted expense."""
    usual = {
        "ProjTransId": number,
        "AmountCurr": "100.00",
        "AmountMST": "100.00",
        "ExchangeCode": "USD",
        "ApprovalStatus": 6,
        "Voucher": "V-1",
        "TransDate": "2025-01-08",
        "ProjId": "P-1",
        "CostType": "Flight",
    }
    return row("TrvExpTrans", number, **{**usual, **columns})


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def projected(tieout: Tieout, events: bytes) -> None:
    assert tieout("ingest", "-", stdin=events).code == 0
    assert tieout("run", "--until-caught-up").code == 0


def told(outcome: Outcome) -> str:
    """What a person reads of a command that failed: one clear message, no traceback."""
    assert outcome.code == 1, outcome
    assert "Traceback" not in outcome.err
    assert outcome.err.startswith("error: "), outcome
    return outcome.err


# --- the demonstration -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R31", "R32", "R80")
def test_the_demonstration_shows_the_documented_numbers(demo: tuple[Outcome, dict[str, str]]) -> None:
    outcome, _ = demo
    assert outcome.code == 0, outcome.err
    said = re.sub(r" +", " ", outcome.out)
    assert "Business date: 2025-01-08 (simulated)" in said
    for line in (
        "Unreconciled expense amount 9,000.00 49 documents",
        "Unreconciled vendor invoice amount 28,000.00 9 documents",
        "Vendor invoice missing journal lines 23,000.00 8 documents",
        "Vendor invoice missing actuals 5,000.00 1 document",
        "Expense missing journal lines 5,000.00 9 documents",
        "Expense missing actuals 4,000.00 40 documents",
    ):
        assert line in said


@pytest.mark.requirement("R80")
def test_the_commands_that_the_demonstration_names_work_with_the_environment_it_names(
    demo: tuple[Outcome, dict[str, str]],
) -> None:
    outcome, environment = demo
    commands = [shlex.split(line)[1:] for line in outcome.out.splitlines() if line.startswith("  tieout ")]
    assert len(commands) >= 4
    for command in commands:
        answer = process(*command, environment=environment)
        assert answer.code == 0, answer.err
        assert answer.out


@pytest.mark.requirement("R80")
def test_a_demonstration_starts_afresh_and_leaves_other_files_alone(tieout: Tieout, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "log.sqlite").write_text("mine")
    first = tieout("demo", "--no-serve", "--folder", "here")
    again = tieout("demo", "--no-serve", "--folder", "here", "--seed", "5")
    assert (first.code, again.code) == (0, 0)
    assert "9,000.00   49 documents" in again.out
    assert (tmp_path / "here" / "log.sqlite").read_text() == "mine"


# --- the pipeline by hand --------------------------------------------------------------------------------------------


@pytest.mark.requirement("R4", "R11", "R31", "R32", "R80")
@pytest.mark.parametrize("seed", ["1", "23"])
def test_simulated_events_come_to_the_true_outcome(tieout: Tieout, tmp_path: Path, seed: str) -> None:
    made = tieout("simulate", "--seed", seed, "--out", "events.jsonl", "--labels", "truth.jsonl")
    assert made.code == 0
    # Twice: an event that comes twice counts once.
    assert tieout("ingest", "events.jsonl").code == 0
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("ingest", "events.jsonl").code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0

    (summary,) = tieout("summary", "--company", "uspm", "--json").lines
    amounts = {name: (tile["amount"], tile["documents"]) for name, tile in summary["tiles"].items()}
    assert amounts == {
        "vendor_invoice_missing_journal_lines": ("23000.00", 8),
        "vendor_invoice_missing_actuals": ("5000.00", 1),
        "expense_missing_journal_lines": ("5000.00", 9),
        "expense_missing_actuals": ("4000.00", 40),
    }
    assert summary["unreconciled"]["expense"]["amount"] == "9000.00"
    assert summary["unreconciled"]["vendor_invoice"]["amount"] == "28000.00"
    assert (summary["from"], summary["to"], summary["currency"]) == ("2024-03-01", TODAY, "USD")

    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    expected = {label["document"]: label for label in truth if label["company"] == "USPM"}
    found = {row["document"]: row for kind in ("expense", "vendor-invoice-line") for row in grid(tieout, kind)}
    assert found.keys() == expected.keys()
    for name, label in expected.items():
        # The labels do not tell findings.
        del label["findings"]
        assert {key: found[name][key] for key in label} == label


@pytest.mark.requirement("R80")
def test_the_demonstration_plays_the_large_company_too(tieout: Tieout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieout.simulator.large.DOCUMENTS", 150)
    shown = tieout("demo", "--company", "large", "--no-serve", "--folder", "here")
    assert shown.code == 0
    assert "Business date: 2025-06-30 (simulated)" in shown.out
    assert "USPM · 2024-03-01 to 2025-06-30 · USD" in shown.out


@pytest.mark.requirement("R1", "R7", "R80")
def test_the_large_company_comes_to_the_true_outcome_once_what_was_lost_is_sent_again(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_TODAY", "2025-06-30")
    monkeypatch.setenv("TIEOUT_COMPANIES", "USPM,GBPM,JPPM,KWPM")
    files = ("--out", "events.jsonl", "--labels", "truth.jsonl", "--lost", "lost.jsonl")
    assert tieout("simulate", "--company", "large", "--documents", "150", "--seed", "3", *files).code == 0
    for file in ("events.jsonl", "lost.jsonl"):
        assert tieout("ingest", file).code == 0
        assert tieout("run", "--until-caught-up").code == 0
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    expected = {label["document"]: label for label in truth if label["company"] == "JPPM"}
    wide = ("--company", "JPPM", "--from", "2000-01-01", "--to", "2030-01-01", "--view", "all", "--json")
    kinds = ("expense", "vendor-invoice-line")
    found = [row for kind in kinds for row in tieout("documents", "--kind", kind, *wide).lines]
    assert len(found) == len(expected) > 5
    for row in found:
        label = expected[row["document"]]
        assert {name: row[name] for name in label.keys() - {"fault", "taken_from"}}.items() <= label.items()


def grid(tieout: Tieout, kind: str) -> list[Any]:
    wide = ("--from", "2000-01-01", "--to", "2030-01-01")
    return tieout("documents", "--company", "USPM", "--kind", kind, "--view", "all", *wide, "--json").lines


@pytest.mark.requirement("R33")
def test_the_view_of_missing_actuals_has_forty_expenses_of_a_hundred(demonstrated: Tieout) -> None:
    rows = demonstrated("documents", "--company", "USPM", "--json").lines
    assert [row["amount"] for row in rows] == ["100.00"] * 40
    assert {(row["kind"], row["position"], row["date"]) for row in rows} == {("expense", "missing-actual", TODAY)}
    assert all(row.keys() >= DOCUMENT_KEYS for row in rows)
    assert rows[0]["accounting"].keys() == {
        "amount",
        "missing_actual",
        "missing_journal_line",
        "reconciled",
        "difference",
    }


@pytest.mark.requirement("R33", "R34")
def test_people_see_a_table_with_number_and_sums_under_it(demonstrated: Tieout) -> None:
    expenses = demonstrated("documents", "--company", "USPM", "--view", "missing-actuals")
    for header in ("Expense category", "Exchange rate", "Project name", "Journal voucher", "Last retried date"):
        assert header in expenses.out
    assert re.search(r"40 documents +USD +4,000.00 +4,000.00", expenses.out)
    assert "100.000000000000" in expenses.out

    invoices = demonstrated(
        "documents", "--company", "USPM", "--kind", "vendor-invoice-line", "--view", "missing-actuals"
    )
    assert "Vendor account" in invoices.out
    assert "1.0000000000" in invoices.out
    assert re.search(r"1 document +USD +5,000.00 +5,000.00", invoices.out)


@pytest.mark.requirement("R33")
def test_people_see_the_first_hundred_rows_and_how_to_see_the_rest(demonstrated: Tieout) -> None:
    everything = ("documents", "--company", "USPM", "--view", "all")
    first = demonstrated(*everything)
    assert first.out.count("\nUSPM/") == 100
    assert "Use --limit 0" in first.out
    assert demonstrated(*everything, "--limit", "0").out.count("\nUSPM/") == 118
    assert len(demonstrated(*everything, "--json").lines) == 118
    assert len(demonstrated(*everything, "--json", "--limit", "7").lines) == 7


# --- a chain ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R20", "R36")
@pytest.mark.parametrize("view", ["missing-actuals", "missing-journal-lines"])
def test_a_chain_says_why_and_which_of_its_events_says_so(demonstrated: Tieout, view: str) -> None:
    rows = demonstrated("documents", "--company", "USPM", "--view", view, "--json").lines
    for document in {row["cause"]: row["document"] for row in rows}.values():
        (chain,) = demonstrated("chain", document, "--json", "--raw").lines
        explanation = chain["explanation"]
        assert all(explanation[part] for part in ("seen", "missing", "since", "do", "event"))
        assert all(record.keys() >= {"key", "entity", "id", "source", "columns", "events"} for record in chain["chain"])
        events = {event["event_id"]: event for record in chain["chain"] for event in record["events"]}
        source, event = explanation["event"].split()
        # The header of an invoice and a journal say something about a chain without being in it.
        if event in events:
            assert events[event]["source"] == source
            assert json.loads(events[event]["raw"])["id"] == event
        people = demonstrated("chain", document)
        assert explanation["do"] in people.out
        assert explanation["event"] in people.out
        assert LABELS[chain["cause"]] in people.out


@pytest.mark.requirement("R20")
def test_a_finding_comes_with_its_explanation(demonstrated: Tieout) -> None:
    rows = demonstrated("documents", "--company", "USPM", "--view", "all", "--json").lines
    with_findings = [row for row in rows if row["findings"]]
    assert with_findings
    for row in with_findings:
        (chain,) = demonstrated("chain", row["document"], "--json").lines
        found = {finding["code"]: finding["explanation"] for finding in chain["findings"]}
        assert found.keys() >= set(row["findings"])
        assert all(words["seen"] and words["do"] and words["since"] for words in found.values())


# --- errors ----------------------------------------------------------------------------------------------------------


def message(
    text: str, event: str, at: str = "2025-01-08T10:00:00Z", company: str = "USPM", subject: str = ""
) -> dict[str, Any]:
    value = {
        "specversion": "1.0",
        "id": event,
        "source": "/finance/contoso",
        "type": "tieout.process.message",
        "time": at,
        "data": {
            "process": "general-journal-sync",
            "run": "r1",
            "company": company,
            "scope": [],
            "subject": subject or event,
            "text": text,
        },
    }
    return {"topic": "finance.changes", "key": event, "value": value}


@pytest.mark.requirement("R50", "R51")
def test_errors_are_listed_whole_with_what_they_mean_and_what_to_do(tieout: Tieout) -> None:
    long = "Something nobody has seen before. " * 400
    projected(
        tieout,
        lines(
            message("Failed to confirm journal 5541230 in Dataverse.", "e1"),
            message(long, "e2", "2025-01-07T10:00:00Z", "GBPM"),
        ),
    )
    known, unknown = tieout("errors", "--json").lines
    assert (known["code"], known["parameters"]) == ("GJ_CONFIRM", {"journal": "5541230"})
    assert known["details"]
    assert known["resolution"]
    assert (unknown["code"], unknown["text"], unknown["resolution"]) == ("UNKNOWN", long, None)
    assert long.strip() in tieout("errors").out
    assert [error["subject"] for error in tieout("errors", "--company", "gbpm", "--json").lines] == ["e2"]
    assert [error["subject"] for error in tieout("errors", "--from", TODAY, "--json").lines] == ["e1"]
    assert [error["subject"] for error in tieout("errors", "--to", "2025-01-07", "--json").lines] == ["e2"]
    assert "no company 'XX'" in told(tieout("errors", "--company", "XX"))


@pytest.mark.requirement("R56")
def test_invoice_proposals_that_wait_name_the_dates_and_amounts_to_post(demonstrated: Tieout) -> None:
    (proposal,) = demonstrated("proposals", "--company", "uspm", "--json").lines
    assert (proposal["proposal"], proposal["amount"], proposal["billed"]) == ("PI-000214", "0.00", 3)
    assert [(one["date"], one["amount"], one["state"], one["document"]) for one in proposal["to_post"]] == [
        ("2024-12-30", "660.00", "not-imported", "USPM/USPM-PT000380"),
        ("2025-01-03", "1440.00", "not-imported", "USPM/USPM-PT000382"),
        ("2025-01-06", "9600.00", "not-imported", "USPM/USPM-PT001076"),
    ]
    shown = demonstrated("proposals").out
    assert proposal["message"] in shown
    assert proposal["resolution"] in shown
    assert demonstrated("proposals", "--company", "GBPM").out == "No invoice proposals of amount 0.00.\n"
    assert "no company 'XX'" in told(demonstrated("proposals", "--company", "XX"))


# --- decode ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R4")
def test_decode_prints_a_change_under_the_fixed_names(tieout: Tieout, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_bytes(json.dumps(expense("000123")["value"]).encode())
    (change,) = tieout("decode", "event.json").lines
    assert change.keys() == {
        "operation",
        "source",
        "entity",
        "id",
        "at",
        "event_id",
        "correlation_id",
        "version",
        "company",
        "columns",
        "truncated",
    }
    assert (change["operation"], change["entity"], change["at"]) == ("upsert", "TrvExpTrans", "2025-01-08T09:37:24Z")
    assert change["columns"]["AmountCurr"] == "100.00"


@pytest.mark.requirement("R4")
def test_decode_prints_heartbeats_and_process_messages(tieout: Tieout) -> None:
    said = json.dumps(message("Failed to confirm journal 1 in Dataverse.", "e1")["value"]).encode()
    assert tieout("decode", "-", stdin=said).lines[0]["code"] == "GJ_CONFIRM"
    heartbeat = {
        "specversion": "1.0",
        "id": "h",
        "source": "/finance/contoso",
        "type": "tieout.source.complete",
        "time": "2025-01-08T10:00:00Z",
        "data": {"until": "2025-01-08T09:00:00+01:00"},
    }
    (told,) = tieout("decode", "-", stdin=json.dumps(heartbeat).encode()).lines
    assert (told["operation"], told["until"]) == ("complete", "2025-01-08T08:00:00Z")


@pytest.mark.requirement("R2", "R3", "R9")
@pytest.mark.parametrize(
    ("example", "changes"),
    [
        ("dataverse-actual-cost-create", [("create", "msdyn_actual", "2025-01-08T09:38:03Z")]),
        ("dataverse-delta-response", [("upsert", "msdyn_actual", None), ("delete", "msdyn_actual", None)]),
        ("dataverse-truncated-update", [("notify", "msdyn_actual", "2025-01-09T02:00:11Z")]),
        (
            "fno-business-event-vendorinvoiceposted",
            [("notify", "VendorInvoicePostedBusinessEvent", "2025-01-08T10:59:58.294274Z")],
        ),
        ("fno-data-event-staging-deleted", [("delete", "mserp_projcdsactualsimportentity", "2025-01-10T02:00:10Z")]),
        ("fno-odata-page", [("upsert", "ProjCDSActualsImport", None)]),
    ],
)
def test_decode_prints_what_a_real_payload_says(
    tieout: Tieout, example: str, changes: list[tuple[str, str, str | None]]
) -> None:
    told = tieout("decode", str(EXAMPLES / f"{example}.json"))
    assert (told.code, told.err) == (0, "")
    assert [(line["operation"], line["entity"], line["at"]) for line in told.lines] == changes


@pytest.mark.requirement("R7")
def test_decode_prints_the_good_part_of_a_batch_and_the_reason_for_the_rest(tieout: Tieout) -> None:
    good = (EXAMPLES / "dataverse-delete.json").read_bytes()
    told = tieout("decode", "-", stdin=b"[" + good + b", {}]")
    assert [line["operation"] for line in told.lines] == ["delete"]
    assert told.code == 1
    assert "event 2 of 2: not an event this version knows" in told.err


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
    line = row(
        "msdyn_projectvendorinvoice", "4b1e3d75-a749-ef11-acce-0022480431d9", source="dataverse", **{column: value}
    )
    (told,) = tieout("maps", "explain", "-", "--json", stdin=json.dumps(line["value"]).encode()).lines
    (cell,) = told["reading"]["cells"]
    assert (cell["field"], cell["value"]) == (field, read)
    assert cell["because"] == f"dataverse.toml: [entities.msdyn_projectvendorinvoice] {because}"


@pytest.mark.requirement("R6")
def test_maps_explain_says_when_there_is_nothing_to_explain(tieout: Tieout) -> None:
    unknown = (EXAMPLES / "dataverse-delete.json").read_bytes().replace(b"msdyn_journalline", b"account")
    assert "Add a table [entities.account] to a map file" in tieout("maps", "explain", "-", stdin=unknown).out
    cut = (EXAMPLES / "dataverse-truncated-update.json").read_bytes()
    assert "tieout reads the row again" in tieout("maps", "explain", "-", stdin=cut).out
    notice = (EXAMPLES / "fno-business-event-vendorinvoiceposted.json").read_bytes()
    assert "it needs no map" in tieout("maps", "explain", "-", stdin=notice).out
    said = json.dumps(message("Failed to confirm journal 1 in Dataverse.", "e1")["value"]).encode()
    assert "needs no map" in tieout("maps", "explain", "-", stdin=said).out


@pytest.mark.requirement("R4")
def test_decode_reads_the_headers_of_a_binary_event(tieout: Tieout) -> None:
    value = expense("000123")["value"]
    attributes = [f"--header=ce_{name}={value[name]}" for name in ("specversion", "id", "source", "type", "time")]
    (change,) = tieout("decode", "-", *attributes, stdin=json.dumps(value["data"]).encode()).lines
    assert change["id"] == "000123"


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "no body"),
        ((EXAMPLES / "dataverse-429.json").read_bytes(), "Number of requests exceeded the limit of 6000"),
        (b"{", "not JSON"),
        (b"[1", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"[]", "an array"),
        (b"{}", "specversion"),
        (b'{"specversion": "1.0", "type": "x"}', "unknown event type"),
    ],
)
def test_decode_ends_with_the_reason_when_an_event_is_rejected(tieout: Tieout, payload: bytes, reason: str) -> None:
    outcome = tieout("decode", "-", stdin=payload)
    assert reason in told(outcome)
    assert not outcome.out


@pytest.mark.requirement("R58")
def test_errors_can_be_followed_as_they_come(tieout: Tieout) -> None:
    projected(tieout, lines(message("first", "e1")))
    command = [sys.executable, "-m", "tieout", "errors", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as followed, ended(followed):
        assert followed.stdout is not None
        assert json.loads(followed.stdout.readline())["text"] == "first"
        projected(tieout, lines(message("other company", "e2", company="GBPM"), message("second", "e3")))
        assert [json.loads(followed.stdout.readline())["text"] for _ in range(2)] == ["other company", "second"]
        followed.send_signal(signal.SIGINT)
        _, err = followed.communicate(timeout=30)
        assert (followed.returncode, err) == (130, b"")
    assert "has no end date" in tieout("errors", "--follow", "--to", "2025-01-08").err


def run_of(run: str, at: str, *scope: str) -> dict[str, Any]:
    """A run of the same process started."""
    event = message("", f"{run}-started", at)
    event["value"]["type"] = "tieout.process.started"
    event["value"]["data"] = {"process": "general-journal-sync", "run": run, "company": "USPM", "scope": list(scope)}
    return event


@pytest.mark.requirement("R58")
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_who_follows_the_errors_sees_what_becomes_of_each(tieout: Tieout, as_json: bool) -> None:
    projected(tieout, lines(message("first", "e1", subject="J-1"), message("second", "e2", subject="J-2")))
    command = [sys.executable, "-m", "tieout", "errors", "--follow", *(["--json"] if as_json else [])]
    followed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with followed:
        assert followed.stdout is not None
        before = [followed.stdout.readline() for _ in range(2 if as_json else 1)]
        assert before[0]
        while not as_json and b"2 current errors" not in before[-1]:
            before.append(followed.stdout.readline())
        projected(tieout, lines(run_of("run-2", "2025-01-08T11:00:00Z", "J-1")))
        why = ("--subject", "J-2", "--why", "by hand", "--who", "ann", "--yes")
        assert tieout("errors", "delete", *why).code == 0
        if as_json:
            resolved, gone = (json.loads(followed.stdout.readline()) for _ in range(2))
            assert [json.loads(line)["state"] for line in before] == ["current", "current"]
            assert (resolved["subject"], resolved["state"], resolved["text"]) == ("J-1", "history", "first")
            assert resolved["taken_up"] == {"run": "run-2", "started": "2025-01-08T11:00:00Z"}
            assert (gone["subject"], gone["state"]) == ("J-2", "deleted")
            assert (gone["deleted"]["who"], gone["deleted"]["why"]) == ("ann", "by hand")
        else:
            shown = ""
            while "by hand" not in shown:
                line = followed.stdout.readline()
                assert line, followed.communicate()
                shown += line.decode()
            assert "History: processed again by run run-2, started 2025-01-08T11:00:00Z\n" in shown
            assert re.search(r"Deleted 20\S+ by ann: by hand", shown)
        followed.send_signal(signal.SIGINT)
        _, err = followed.communicate(timeout=30)
        assert (followed.returncode, err) == (130, b"")


@pytest.mark.requirement("R51", "R57")
def test_an_error_of_a_closed_period_says_what_the_calendar_knows(demonstrated: Tieout) -> None:
    (error,) = demonstrated("errors", "--code", "NO_OPEN_PERIOD", "--json").lines
    assert error["advice"] == (
        "The period of 2024-02-12, 2024-02-01 to 2024-02-29, is closed. With that parameter on, it is posted on "
        "2024-03-01, the first day of the next open period."
    )
    assert error["advice"] in demonstrated("errors").out


@pytest.mark.requirement("R55")
def test_current_errors_are_deleted_by_a_filter_with_who_when_and_why(tieout: Tieout) -> None:
    confirm = "Failed to confirm journal 5541230 in Dataverse."
    projected(tieout, lines(message(confirm, "e1"), message("x", "e2", company="GBPM"), message("y", "e3")))
    rehearsed = tieout("errors", "delete", "--company", "uspm", "--why", "mended", "--dry-run")
    assert ("2 current errors" in rehearsed.out, rehearsed.code) == (True, 0)
    asked = tieout("errors", "delete", "--company", "uspm", "--why", "mended", stdin=b"n\n")
    assert (asked.code, "Delete 2 current errors?" in asked.err) == (1, True)
    assert "Deleting starts a new attempt cycle for 2 general journals." in asked.err
    assert len(tieout("errors", "--json").lines) == 3

    done = tieout(
        "errors", "delete", "--company", "uspm", "--code", "GJ_CONFIRM", "--why", "mended", "--who", "ann", "-y"
    )
    retried = "A new attempt cycle starts for 1 general journal.\n"
    assert (done.code, done.err) == (0, f"1 error deleted.\n{retried}")
    assert [error["subject"] for error in tieout("errors", "--json").lines] == ["e2", "e3"]
    (kept,) = tieout("errors", "--history", "--subject", "e1", "--json").lines
    assert (kept["standing"], kept["deleted"]["who"], kept["deleted"]["why"]) == ("deleted", "ann", "mended")
    assert "by ann: mended" in tieout("errors", "--history").out

    assert tieout("errors", "delete", "--all", "--why", "new year", "--yes").code == 0
    assert tieout("errors").out == "No current errors. Use --history to list past errors.\n"
    nothing = tieout("errors", "delete", "--all", "--why", "again", "--yes")
    assert (nothing.code, nothing.err) == (0, "No current error matches.\n")
    projected(tieout, lines(message(confirm, "e1b", "2025-01-08T11:00:00Z", subject="e1")))
    (again,) = tieout("errors", "--json").lines
    assert (again["standing"], again["count"]) == ("current", 2)


@pytest.mark.requirement("R55")
def test_what_was_deleted_stays_deleted_in_a_store_that_is_built_anew(tieout: Tieout, tmp_path: Path) -> None:
    projected(tieout, lines(message("first", "e1"), message("second", "e2")))
    assert tieout("errors", "delete", "--subject", "e1", "--why", "mended", "--who", "ann", "--yes").code == 0
    before = tieout("dump").out
    for path in tmp_path.glob("store.sqlite*"):
        path.unlink()
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("dump").out == before
    assert [error["subject"] for error in tieout("errors", "--json").lines] == ["e2"]
    assert tieout("verify").code == 0
    with sqlite3.connect(tmp_path / "store.sqlite") as store:
        store.execute("DELETE FROM deletions")
    assert tieout("verify").code == 1
    assert "the error log does not hold the deletion" in tieout("check").out


@pytest.mark.requirement("R55", "R72")
def test_history_is_purged_after_its_days_and_the_store_is_still_that_of_its_topics(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = ("2024-10-09", "2024-10-11", "2025-01-07")
    again = [message(f"On {day}.", f"m{day}", f"{day}T10:00:00Z", subject="J-1") for day in days]
    projected(tieout, lines(message("Old and current.", "e1", "2023-01-01T10:00:00Z"), *again))
    kept = ["On 2025-01-07.", "On 2024-10-11.", "Old and current."]
    assert [error["text"] for error in tieout("errors", "--history", "--json").lines] == kept
    assert tieout("verify").code == 0
    assert tieout("check").code == 0
    assert tieout("replay", "--yes").code == 0
    assert [error["text"] for error in tieout("errors", "--history", "--json").lines] == kept
    monkeypatch.setenv("TIEOUT_ERROR_HISTORY_DAYS", "7")
    assert tieout("run", "--until-caught-up").code == 0
    assert [error["text"] for error in tieout("errors", "--history", "--json").lines] == [kept[0], kept[2]]
    assert tieout("verify").code == 0
    monkeypatch.setenv("TIEOUT_ERROR_HISTORY_DAYS", "0")
    assert "use a number of days from 1 on" in told(tieout("errors"))


@pytest.mark.requirement("R55")
def test_nothing_is_deleted_without_a_reason_or_a_choice(tieout: Tieout) -> None:
    projected(tieout, lines(message("first", "e1")))
    assert "name the errors" in tieout("errors", "delete", "--why", "x").err
    assert "the text is empty" in tieout("errors", "delete", "--all", "--why", " ").err
    assert "the text is empty" in tieout("errors", "delete", "--all", "--why", "x", "--who", "").err
    assert "--why" in tieout("errors", "delete", "--all").err
    assert "is not a process. Use one of import-from-staging" in tieout("errors", "--process", "import").err
    assert "is not a message code. Use one of NOT_POSTED" in tieout("errors", "--code", "not_posted").err
    assert len(tieout("errors", "--json").lines) == 1


# --- rejected --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R7")
def test_rejected_events_are_listed_and_shown_with_reason_place_and_bytes(tieout: Tieout) -> None:
    unknown = row("NoSuchTable", "1")
    unknown["headers"] = {"trace": "abc"}
    binary = {"topic": "dataverse.changes", "value_base64": base64.b64encode(b"\x00\xff\x01").decode()}
    projected(tieout, lines(unknown, binary, expense("000123")))

    listed = tieout("rejected", "list")
    assert listed.code == 0
    assert "tieout.finance.changes/0/0" in listed.out
    assert "NoSuchTable" in listed.out

    by_id = {event["id"]: event for event in tieout("rejected", "list", "--json").lines}
    assert by_id.keys() == {"tieout.finance.changes/0/0", "tieout.dataverse.changes/0/0"}
    assert base64.b64decode(by_id["tieout.dataverse.changes/0/0"]["value"]) == b"\x00\xff\x01"
    assert "not JSON" in by_id["tieout.dataverse.changes/0/0"]["reason"]

    shown = tieout("rejected", "show", "tieout.finance.changes/0/0")
    for part in ("in no map", "tieout.finance.changes", "trace", "abc", '"entity": "NoSuchTable"'):
        assert part in shown.out
    assert "00 ff 01" in tieout("rejected", "show", "dataverse.changes/0/0").out
    (program,) = tieout("rejected", "show", "finance.changes/0/0", "--json").lines
    assert json.loads(program["text"]) == unknown["value"]
    assert "no rejected event" in told(tieout("rejected", "show", "finance.changes/0/9"))

    # The rest went on.
    assert tieout("chain", "USPM/000123").code == 0


@pytest.mark.requirement("R7")
def test_rejected_events_are_filtered_and_paged(tieout: Tieout) -> None:
    binary = {"topic": "dataverse.changes", "value_base64": base64.b64encode(b"\x00\xff\x01").decode()}
    projected(tieout, lines(*(row(f"NoSuchTable{number}", "1") for number in range(5)), binary))

    def ids(*options: str) -> list[str]:
        return [event["id"] for event in tieout("rejected", "list", "--json", *options).lines]

    finance = [f"tieout.finance.changes/0/{number}" for number in range(5)]
    assert sorted(ids()) == ["tieout.dataverse.changes/0/0", *finance]
    assert ids("--topic", "finance.changes") == finance
    assert ids("--topic", "tieout.dataverse.changes") == ids("--reason", "NOT json") == ["tieout.dataverse.changes/0/0"]
    assert ids("--reason", "nosuchtable3") == finance[3:4]
    assert (ids("--to", "2020-01-01"), ids("--from", "9999-01-01"), ids("--topic", "nothing")) == ([], [], [])
    day = tieout("rejected", "list", "--json").lines[0]["rejected_at"][:10]
    assert len(ids("--from", day)) == 6

    first = tieout("rejected", "list", "--topic", "finance.changes", "--limit", "2")
    assert ("NoSuchTable1" in first.out, "NoSuchTable2" in first.out) == (True, False)
    assert first.out.endswith("3 more. To list them, add --after tieout.finance.changes/0/1\n")
    assert ids("--topic", "finance.changes", "--limit", "2", "--after", "finance.changes/0/1") == finance[2:4]
    assert "more" not in tieout("rejected", "list", "--topic", "finance.changes", "--after", finance[1]).out
    assert "no rejected event" in told(tieout("rejected", "list", "--after", "finance.changes/0/9"))
    assert tieout("rejected", "list", "--from", "2025-01-02", "--to", "2025-01-01").code == 2


@pytest.mark.requirement("R7")
def test_an_event_that_was_published_as_rejected_twice_is_listed_once(tieout: Tieout, tmp_path: Path) -> None:
    projected(tieout, lines(row("NoSuchTable", "1")))
    (tmp_path / "store.sqlite").unlink()
    assert tieout("run", "--until-caught-up").code == 0
    assert len(tieout("rejected", "list", "--json").lines) == 1


@pytest.mark.requirement("R7", "R85")
def test_an_event_that_is_sent_again_is_read_under_todays_settings_and_leaves_the_list(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_ENVIRONMENTS", "other")
    projected(tieout, lines(expense("000123"), row("NoSuchTable", "1")))
    assert len(tieout("rejected", "list", "--json").lines) == 2
    assert tieout("chain", "USPM/000123").code == 1

    monkeypatch.setenv("TIEOUT_ENVIRONMENTS", "contoso")
    assert "1 event resubmitted" in tieout("rejected", "resubmit", "finance.changes/0/0").err
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("chain", "USPM/000123").code == 0
    (left,) = tieout("rejected", "list", "--json").lines
    assert left["id"] == "tieout.finance.changes/0/1"

    # What still cannot be understood comes back under its new place.
    assert "1 event resubmitted" in tieout("rejected", "resubmit", "--reason", "other", "--yes").err
    assert tieout("run", "--until-caught-up").code == 0
    (left,) = tieout("rejected", "list", "--json").lines
    assert left["id"] == "tieout.finance.changes/0/3"
    assert "in no map" in left["reason"]


@pytest.mark.requirement("R7")
def test_resubmit_asks_first_and_wants_to_know_what(tieout: Tieout) -> None:
    projected(tieout, lines(row("NoSuchTable", "1")))
    assert tieout("rejected", "resubmit", "--all", stdin=b"n\n").code == 1
    assert len(tieout("rejected", "list", "--json").lines) == 1
    assert "name one event" in tieout("rejected", "resubmit").err
    assert "no rejected event" in told(tieout("rejected", "resubmit", "finance.changes/0/9"))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "line 2: "),
        (b"[1]", "Expected `object`"),
        (b'{"value": {}}', "topic"),
        (b'{"topic": "sales.changes", "value": {}}', "Use finance.changes or dataverse.changes"),
        (b'{"topic": "tieout.finance.changes", "value": {}}', "without the environment's prefix"),
        (b'{"topic": "rejected", "value": {}}', "unknown topic"),
        (b'{"topic": "finance.changes"}', "the value is missing"),
        (b'{"topic": "finance.changes", "value": {}, "value_base64": ""}', "Leave one out"),
        (b'{"topic": "finance.changes", "value_base64": "%"}', "not base64"),
        (b'{"topic": "finance.changes", "headers": 1, "value": {}}', "$.headers"),
        (b'{"topic": "finance.changes", "value": "%s"}' % (b"x" * 20_000_000), "20,000,002 bytes"),
        (b'{"topic": "finance.changes", "value": "%s"}' % (b"x" * 70_000_000), "over "),
    ],
)
def test_a_line_that_is_no_event_is_named_and_the_rest_goes_on(tieout: Tieout, line: bytes, said: str) -> None:
    outcome = tieout("ingest", "-", stdin=lines(expense("1")) + line + b"\n\n" + lines(expense("2")))
    error = told(outcome)
    assert error.startswith("error: line 2: ")
    assert said in error
    assert len(error) < 1_000
    assert "2 events ingested, 1 line refused" in outcome.err
    assert tieout("run", "--until-caught-up").code == 0
    assert len(grid(tieout, "expense")) == 2


def test_of_very_many_bad_lines_the_first_are_named_and_the_others_counted(tieout: Tieout) -> None:
    outcome = tieout("ingest", "-", stdin=b"no\n" * 1_000)
    assert "line 100:" in told(outcome)
    assert "line 101:" not in outcome.err
    assert "900 lines more" in outcome.err


def test_a_file_with_a_byte_order_mark_and_dos_lines_is_read(tieout: Tieout) -> None:
    written = lines(expense("1"), expense("2")).replace(b"\n", b"\r\n")
    assert "2 events ingested" in tieout("ingest", "-", stdin=b"\xef\xbb\xbf" + written).err


@pytest.mark.requirement("R8")
def test_ingest_keeps_the_digits_of_a_number_as_they_were_written(tieout: Tieout) -> None:
    line = json.dumps(expense("1", AmountCurr="@")).replace('"@"', "1234567890.10").encode()
    projected(tieout, line)
    assert grid(tieout, "expense")[0]["amount"] == "1234567890.10"


@pytest.mark.requirement("R2", "R18")
def test_a_text_of_ten_megabytes_is_kept_with_a_finding(tieout: Tieout) -> None:
    projected(tieout, lines(expense("1", CostType="x" * 10_000_000), expense("2")))
    (chain,) = tieout("chain", "USPM/1", "--json").lines
    assert [finding["code"] for finding in chain["findings"]] == ["unknown-value"]
    assert chain["amount"] == "100.00"
    assert len(grid(tieout, "expense")) == 2


@pytest.mark.requirement("R18")
@pytest.mark.parametrize(
    "columns",
    [
        {"TransDate": "2025-02-31"},
        {"TransDate": "99999-01-01"},
        {"AmountCurr": "1e999999999"},
        {"AmountCurr": "ten"},
        {"AmountCurr": "9" * 5_000},
        {"AmountCurr": {"id": []}},
    ],
)
def test_an_absurd_date_or_amount_is_kept_with_a_finding(tieout: Tieout, columns: dict[str, Any]) -> None:
    projected(tieout, lines(expense("1", **columns), expense("2")))
    (chain,) = tieout("chain", "USPM/1", "--json").lines
    assert "unknown-value" in {finding["code"] for finding in chain["findings"]}
    assert {row["document"] for row in grid(tieout, "expense")} == {"USPM/1", "USPM/2"}
    assert tieout("chain", "USPM/1").code == 0
    assert tieout("documents", "--company", "USPM", "--from", "2025-01-01", "--view", "all").code == 0


def test_an_event_cannot_draw_on_the_terminal(tieout: Tieout) -> None:
    projected(tieout, lines(expense("1", CostType="\x1b[2Jgone\x07", Voucher="\u202ev"), row("No\x1b[31mTable", "1")))
    for command in (
        ("documents", "--company", "USPM", "--from", "2025-01-01"),
        ("chain", "USPM/1", "--raw"),
        ("rejected", "list"),
        ("rejected", "show", "finance.changes/0/1"),
    ):
        outcome = tieout(*command)
        assert outcome.code == 0
        assert "\x1b" not in outcome.out
        assert "\u202e" not in outcome.out


# --- settings and questions that cannot be answered ------------------------------------------------------------------


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
    error = told(tieout(*command))
    assert said in error
    assert "own.toml" in error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIEOUT_TODAY", "yesterday"),
        ("TIEOUT_BROKER", "amqp://x"),
        ("TIEOUT_STORE", "nonsense"),
        ("TIEOUT_STORE", "what://ever"),
        ("TIEOUT_PREFIX", "a b"),
        ("TIEOUT_LOG_LEVEL", "loud"),
        ("TIEOUT_PARTITIONS", "many"),
        ("TIEOUT_EXPOSE_WITHOUT_SIGN_IN", "yes"),
        ("TIEOUT_STORE", "sqlite:////nowhere/at/all/store.sqlite"),
    ],
)
def test_a_wrong_setting_is_named(tieout: Tieout, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert name in told(tieout("summary", "--company", "USPM"))


def test_a_store_and_a_log_that_are_not_there_are_named(tieout: Tieout) -> None:
    assert "no such store yet" in told(tieout("summary", "--company", "USPM"))
    assert "no event log" in told(tieout("rejected", "list"))


def test_an_unknown_company_is_told_with_those_there_are(demonstrated: Tieout) -> None:
    assert "no company 'FRRT' here; known are GBPM, USPM" in told(demonstrated("summary", "--company", "FRRT"))
    assert "known are" in told(demonstrated("documents", "--company", "FRRT"))


def test_an_unknown_document_is_told(demonstrated: Tieout) -> None:
    assert "no document 'USPM/none'" in told(demonstrated("chain", "USPM/none"))


@pytest.mark.requirement("R30")
def test_without_an_open_period_the_message_says_what_to_do(
    demonstrated: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_TODAY", "2031-05-01")
    assert "--from and --to" in told(demonstrated("summary", "--company", "USPM"))
    window = ("--from", "2024-03-01", "--to", TODAY)
    assert demonstrated("summary", "--company", "USPM", *window).code == 0


@pytest.mark.requirement("R30")
def test_both_ends_of_the_window_can_be_set(demonstrated: Tieout) -> None:
    one_day = ("--from", TODAY, "--to", TODAY)
    (summary,) = demonstrated("summary", "--company", "USPM", *one_day, "--json").lines
    assert (summary["from"], summary["to"]) == (TODAY, TODAY)
    assert summary["tiles"]["expense_missing_actuals"] == {"amount": "4000.00", "documents": 40}
    assert summary["tiles"]["vendor_invoice_missing_journal_lines"]["documents"] == 0
    assert "lies after" in told(demonstrated("summary", "--company", "USPM", "--from", "2025-01-09"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("summary", "--company", "USPM", "--from", "8.1.2025"),
        ("documents", "--company", "USPM", "--to", "20250108"),
        ("errors", "--from", "2025-02-30"),
    ],
)
def test_a_date_in_another_format_is_a_usage_error_that_names_the_format(
    tieout: Tieout, arguments: tuple[str, ...]
) -> None:
    outcome = tieout(*arguments)
    assert outcome.code == 2
    assert "YYYY-MM-DD" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("summary",),
        ("documents", "--company", "USPM", "--view", "everything"),
        ("ingest", "/there/is/no/such/file"),
        ("run", "--role", "dance"),
        ("simulate", "--out", "x", "--company", "nobody"),
        ("errors", "--from", "2025-02-01", "--to", "2025-01-01"),
        ("decode", "-", "--header", "x"),
    ],
)
def test_a_command_that_cannot_be_understood_ends_with_two(tieout: Tieout, arguments: tuple[str, ...]) -> None:
    outcome = tieout(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert "--help" in outcome.err


# --- other processes, other versions ---------------------------------------------------------------------------------


def test_a_second_process_on_the_same_log_is_told_who_holds_it(tieout: Tieout, tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.sqlite", "write")
    try:
        for command in (("ingest", "-"), ("run", "--until-caught-up")):
            error = told(tieout(*command))
            assert f"Another process (id {os.getpid()})" in error
    finally:
        log.close()


def test_a_demonstration_never_removes_the_data_of_one_that_is_running(tieout: Tieout, tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "demo-log.sqlite", "write")
    try:
        assert "Another process" in told(tieout("demo", "--folder", "."))
        assert (tmp_path / "demo-log.sqlite").exists()
    finally:
        log.close()


@pytest.mark.requirement("R74")
def test_a_store_newer_than_the_code_is_refused(tieout: Tieout, tmp_path: Path) -> None:
    projected(tieout, lines(expense("1")))
    changed(tmp_path / "store.sqlite", "UPDATE alembic_version SET version_num = '9999'")
    for command in (("run", "--until-caught-up"), ("summary", "--company", "USPM"), ("dump",), ("verify",)):
        assert "newer than this version" in told(tieout(*command))


def test_a_file_that_is_no_store_and_one_that_is_no_log_are_refused(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("notes " * 1_000)
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/notes.txt")
    assert "notes.txt" in told(tieout("summary", "--company", "USPM"))
    monkeypatch.setenv("TIEOUT_BROKER", f"embedded:///{tmp_path}/notes.txt")
    assert "notes.txt" in told(tieout("ingest", "-"))


def test_a_store_that_is_locked_for_too_long_is_told(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from store.queries.snapshot import Snapshot

    def locked(*arguments: Any) -> Any:
        raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))

    projected(tieout, lines(expense("1")))
    monkeypatch.setattr(Snapshot, "company", locked)
    assert "another process locks the store" in told(tieout("summary", "--company", "USPM"))


def changed(store: Path, statement: str) -> None:
    connection = sqlite3.connect(store)
    with connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


# --- dump and verify -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R72")
def test_verify_finds_no_difference_and_changes_nothing(demonstrated: Tieout) -> None:
    dumped = demonstrated("dump").out
    listed = demonstrated("rejected", "list", "--json").out
    outcome = demonstrated("verify")
    assert outcome.code == 0, outcome
    assert "no difference" in outcome.out
    assert demonstrated("verify", "--json").out == ""
    assert (demonstrated("dump").out, demonstrated("rejected", "list", "--json").out) == (dumped, listed)


@pytest.mark.requirement("R72")
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE documents SET amount = amount + 1 WHERE document = 'USPM/2'", "document_row"),
        ("DELETE FROM documents WHERE document = 'USPM/1'", "document_row"),
        ("DELETE FROM records WHERE key LIKE '%:2'", "record"),
        ("UPDATE totals SET sums = replace(sums, '3 ', '4 ')", "total"),
    ],
)
def test_verify_shows_a_row_that_was_changed_by_hand(tieout: Tieout, tmp_path: Path, statement: str, what: str) -> None:
    projected(tieout, lines(expense("1"), expense("2"), expense("3")))
    assert tieout("verify").code == 0
    changed(tmp_path / "store.sqlite", statement)
    outcome = tieout("verify")
    assert outcome.code == 1
    assert outcome.out.startswith(what)
    assert "1 difference." in outcome.out
    (difference,) = tieout("verify", "--json").lines
    assert difference["what"] == what


@pytest.mark.requirement("R72")
def test_verify_looks_at_what_the_store_has_read_and_no_further(tieout: Tieout) -> None:
    projected(tieout, lines(expense("1")))
    assert tieout("ingest", "-", stdin=lines(expense("2"))).code == 0
    outcome = tieout("verify")
    assert (outcome.code, "1 event read" in outcome.out) == (0, True)


def test_verify_refuses_a_store_that_was_built_under_other_maps(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projected(tieout, lines(expense("1")))
    (tmp_path / "own.toml").write_text(
        'schema = 1\nversion = "1"\nsource = "finance"\n[entities.Own]\nrecord = "later"\n'
    )
    monkeypatch.setenv("TIEOUT_MAPS", "own.toml")
    assert "other maps" in told(tieout("verify"))


# --- manners ---------------------------------------------------------------------------------------------------------


def test_every_command_says_what_it_is_for_and_gives_examples(tieout: Tieout) -> None:
    overview = tieout("--help").out
    commands = re.findall(r"^  ([a-z]+) {2,}\S", overview.partition("Commands:")[2], re.MULTILINE)
    assert {"demo", "run", "simulate", "ingest", "decode", "summary", "documents", "chain"} <= set(commands)
    groups = [["rejected", "list"], ["rejected", "show"], ["log", "check"], ["log", "salvage"]]
    for command in [*([name] for name in commands), *groups]:
        outcome = tieout(*command, "--help")
        assert outcome.code == 0
        assert f"tieout {' '.join(command)}" in outcome.out.partition("Examples:")[2]
    assert tieout("--version").out.startswith("tieout ")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tieout.cli import main; main(['--help']);"
        "print({'faust', 'sqlalchemy', 'alembic', 'tieout.simulator', 'structlog', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_nobody_reading_on_is_no_fault(demo: tuple[Outcome, dict[str, str]]) -> None:
    command = f"{shlex.quote(sys.executable)} -m tieout dump | head -n 1"
    done = subprocess.run(command, shell=True, env=demo[1], capture_output=True, text=True)  # noqa: S602
    assert done.stderr == ""
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        (("ingest", "-"), signal.SIGINT, 130),
        (("run", "--role", "project"), signal.SIGTERM, 0),
        (("run", "--role", "project"), signal.SIGINT, 0),
    ],
)
def test_a_command_that_is_interrupted_ends_quietly(
    tieout: Tieout, tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    tieout("ingest", "-", stdin=lines(expense("1")))
    (tmp_path / "log.sqlite.lock").unlink()
    environment = {**os.environ, "TIEOUT_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "tieout", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as started, ended(started):  # type: ignore[call-overload]
        ready = tmp_path / ("store.sqlite" if arguments[0] == "run" else "log.sqlite.lock")
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # Its signal handlers are set a moment after.
        time.sleep(1.5)
        started.send_signal(number)
        _, err = started.communicate(timeout=30)
        assert (started.returncode, err) == (code, b"")


def test_logs_go_to_standard_error_as_json_where_nobody_watches(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_LOG_LEVEL", "info")
    assert tieout("ingest", "-", stdin=lines(expense("1"))).code == 0
    outcome = tieout("run", "--until-caught-up")
    assert outcome.out == ""
    assert "worker_stopped" in [json.loads(line)["event"] for line in outcome.err.splitlines()]


# --- alerts ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R84")
def test_alerts_that_stand_are_listed_and_a_test_says_whether_it_was_taken(tieout: Tieout) -> None:
    projected(tieout, lines(expense("1")))
    assert tieout("alerts").out == "No alerts.\n"
    projected(tieout, lines({"topic": "finance.changes", "value": {"not": "an event"}}))
    (alert,) = tieout("alerts", "--json").lines
    assert (alert["kind"], alert["since"], alert["detail"]["events"]) == ("events-rejected", None, 1)
    assert "1 event of" in tieout("alerts").out
    assert "TIEOUT_WEBHOOK is not set" in told(tieout("alerts", "test"))
    nobody = told(tieout("alerts", "test", webhook="http://127.0.0.1:9/key-nobody-may-see"))
    assert "the connection to 127.0.0.1 failed" in nobody
    assert "key-nobody-may-see" not in nobody


# --- retrying what ended in an error ---------------------------------------------------------------------------------


@pytest.mark.requirement("R43", "R50")
def test_a_retry_says_what_it_would_do_for_each_error(demonstrated: Tieout, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ("errors", "retry", "--all", "--dry-run")
    left = demonstrated(*everything, "--json").lines
    assert len(left) == len(demonstrated("errors", "--json").lines)
    actions = {("integration-journal-posting", None), ("import-from-staging", "import")}
    assert {(line["process"], line["action"]) for line in left} == actions | {("general-journal-sync", "journal")}
    assert all("TIEOUT_SYNC_POSTS" in line["why"] for line in left if line["action"] is None)
    monkeypatch.setenv("TIEOUT_SYNC_POSTS", "true")
    done = demonstrated(*everything, "--json").lines
    assert {line["action"] for line in done} == {"posting", "import", "journal"}
    assert "post the journal" in demonstrated(*everything).out
    assert "No current error matches." in demonstrated("errors", "retry", "--subject", "none", "--yes").out


def test_a_retry_says_which_errors_and_needs_the_two_systems(
    demonstrated: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "name the errors" in demonstrated("errors", "retry").err
    monkeypatch.setenv("TIEOUT_SYNC_POSTS", "true")
    assert "TIEOUT_FINANCE and TIEOUT_DATAVERSE" in demonstrated("errors", "retry", "--all", "--yes").err
