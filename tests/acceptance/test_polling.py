"""`tieout poll` against the served pair: rows that are read are reconciled, and a table that cannot be read has a
reason.
"""

import json
import threading
import time
from pathlib import Path

import pytest

from engine.errors import SettingError
from engine.events.facts import time_order
from store.notices import waiting_rows
from streams.embedded.log import EmbeddedLog
from tests.support.commandline import Tieout, typist
from tests.support.entra import CLIENT_ID, TENANT, Certificate, signing_in
from tests.support.hostile import hostile, reply
from tests.support.pairs import Served
from tests.support.payloads import EXAMPLES
from tieout.bootstrap import open_store
from tieout.cli import poll
from tieout.settings import Settings, load
from tieout.sync.command_topic import TopicWriter
from tieout.worker.handling import handling


@pytest.fixture
def tieout(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tieout:
    """A command in a folder of its own, with the settings that reach the pair."""
    settings = {**served.settings(), "TIEOUT_TODAY": "2025-01-08", "TIEOUT_COMPANIES": "USPM"}
    return typist(tmp_path, settings, monkeypatch, capfd)


@pytest.mark.requirement("R9")
def test_the_initial_load_gives_the_documented_amounts(tieout: Tieout) -> None:
    polled = tieout("poll")
    assert polled.code == 0, polled
    assert "dataverse/msdyn_actual" in polled.out
    assert tieout("run", "--until-caught-up").code == 0
    summary = json.loads(tieout("summary", "--company", "USPM", "--json").out)
    assert summary["tiles"] == {
        "expense_missing_actuals": {"amount": "4000.00", "documents": 40},
        "expense_missing_journal_lines": {"amount": "5000.00", "documents": 9},
        "vendor_invoice_missing_actuals": {"amount": "5000.00", "documents": 1},
        "vendor_invoice_missing_journal_lines": {"amount": "23000.00", "documents": 8},
    }
    assert summary["unreconciled"]["vendor_invoice"] == {"amount": "28000.00", "documents": 9}
    assert json.loads(tieout("rejected", "list", "--json").out or "[]") == []


@pytest.mark.requirement("R9")
def test_the_initial_load_finds_the_dataverse_line_of_each_vendor_invoice_line_that_has_one(
    tieout: Tieout, served: Served
) -> None:
    """Finance deletes the pending rows, which alone name project and transaction id, once an invoice is posted. What
    never reached Dataverse either may have a project or none: that is not said.
    """
    assert tieout("poll").code == 0
    assert tieout("run", "--until-caught-up").code == 0
    posted, pending, sent = (
        served.pair.tables[name].rows
        for name in ("VendInvoiceTrans", "VendInvoiceInfoLine", "msdyn_projectvendorinvoiceline")
    )
    with_pending = {str(row.columns["SourceDocumentLine"]) for row in pending.values()}
    without = {row_id for row_id, row in posted.items() if str(row.columns["SourceDocumentLine"]) not in with_pending}
    assert len(without) > 30
    everything = ("documents", "--company", "USPM", "--kind", "vendor-invoice-line", "--view", "all")
    always = ("--from", "1900-01-01", "--to", "2154-12-31")
    rows = tieout(*everything, *always, "--json").lines
    assert len(rows) == len(posted)
    linked = {row["document"] for row in rows}.intersection(
        f"USPM/{row.text('msdyn_externalinvoiceline')}" for row in sent.values()
    )
    assert len(linked) == len(sent)
    unknown = {row["document"]: row["invoice"] for row in rows if row["excluded"] == "project-unknown"}
    assert unknown.keys() < {f"USPM/{row_id}" for row_id in without}
    assert set(unknown.values()) == {"Inv-4", "V24-101"}
    assert {row["invoice"]: row["excluded"] for row in rows if row["excluded"] not in (None, "project-unknown")} == {
        "V24-102": "intercompany-cost"
    }
    assert tieout(*everything, *always).out.count("Project unknown") == len(unknown)


@pytest.mark.requirement("R9")
def test_the_cursors_are_shown_and_the_second_poll_goes_on_from_them(tieout: Tieout, served: Served) -> None:
    tieout("poll", poll="msdyn_actual, TrvExpTrans=TrvExpTranss")
    asked = len(served.pair.calls)
    shown = tieout("poll", "--show", "--json")
    assert [(row["table"], row["passes"], row["fault"]) for row in shown.lines] == [
        ("dataverse/msdyn_actual", 1, None),
        ("finance/TrvExpTrans", 1, None),
    ]
    assert all(row["complete_until"] > "2025-01-08T17:59" for row in shown.lines)
    assert len(served.pair.calls) == asked
    again = tieout("poll", "--json")
    assert {row["table"]: row["rows"] for row in again.lines}["dataverse/msdyn_actual"] == 0
    anew = tieout("poll", "--anew", "--json")
    assert {row["table"]: row["rows"] for row in anew.lines}["dataverse/msdyn_actual"] > 100


@pytest.mark.requirement("R9")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"poll": "TrvExpTrans=NoSuchSet"}, "names of tables"),
        ({"poll": "CustTable"}, "is in no map"),
        ({"finance": "http://contoso.operations.dynamics.com"}, "write https://host"),
        ({"client_secret": "not-it", "finance": "https://contoso.operations.dynamics.com"}, "TIEOUT_TENANT"),
        ({"finance": "https://contoso.operations.dynamics.com"}, "set one of TIEOUT_CLIENT_SECRET"),
        ({"process_import": "importFromStaging"}, "EntitySet/action or batch-job:NUMBER"),
        ({"outgoing": "perhaps"}, "TIEOUT_OUTGOING"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_with_it(tieout: Tieout, settings: dict[str, str], says: str) -> None:
    polled = tieout("poll", **settings)
    assert polled.code == 1
    assert says in polled.out + polled.err
    assert "not-it" not in polled.out + polled.err


@pytest.mark.requirement("R9")
def test_a_sign_in_that_is_refused_is_the_fault_of_each_table_and_repeats_no_secret(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Certificate()
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(machine.pem, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with signing_in(machine, tmp_path) as entra:
        at = {"finance": entra.address, "dataverse": entra.address, "authority": entra.address}
        application = {"tenant": TENANT, "client_id": CLIENT_ID, "client_secret": "not-it"}
        polled = tieout("poll", **at, **application)
        checked = tieout("check", **at, **application)
        assert [path for path in entra.asked if TENANT not in path] == []
    assert (polled.code, checked.code) == (1, 1)
    for said in (polled, checked):
        assert "Check TIEOUT_CLIENT_SECRET" in said.out
        assert "not-it" not in said.out + said.err


@pytest.mark.requirement("R9")
def test_a_row_that_is_too_large_for_its_topic_is_the_fault_of_its_table_alone(tieout: Tieout) -> None:
    names = [{"LogicalName": name, "EntitySetName": f"{name}s"} for name in ("msdyn_actual", "msdyn_expense")]
    etag, row = 'W/"1"', "0f1c0000-0000-4000-8000-000000000001"

    def script(path: str) -> list[bytes]:
        if "EntityDefinitions" in path:
            return [listed("EntityDefinitions", *names)]
        if "msdyn_actuals" in path:
            return [listed("msdyn_actuals", {"@odata.etag": etag, "msdyn_actualid": row, "text": "x" * 17_000_000})]
        return [listed("msdyn_expenses", {"@odata.etag": etag, "msdyn_expenseid": row, "modifiedon": "2025-01-08"})]

    def listed(entity_set: str, *found: dict[str, str]) -> bytes:
        context = f"https://org.crm4.dynamics.com/api/data/v9.2/$metadata#{entity_set}"
        return reply(json.dumps({"@odata.context": context, "value": found}).encode())

    with hostile(script) as server:
        at = {"finance": server.address, "dataverse": server.address}
        polled = tieout("poll", "--json", poll="msdyn_actual,msdyn_expense", **at)
    found = {line["table"]: (line["rows"], line["fault"]) for line in polled.lines}
    assert found["dataverse/msdyn_expense"] == (1, None)
    assert "too large for its topic" in found["dataverse/msdyn_actual"][1]
    assert polled.code == 1


def test_without_addresses_it_says_which_settings_are_missing(tieout: Tieout) -> None:
    polled = tieout("poll", finance=" ", dataverse=" ")
    assert polled.code == 1
    assert "TIEOUT_FINANCE and TIEOUT_DATAVERSE" in polled.err


@pytest.mark.requirement("R48")
def test_the_check_says_whether_both_systems_have_what_sync_needs(tieout: Tieout, served: Served) -> None:
    assert tieout("migrate").code == 0

    def looked_at(**settings: str) -> dict[str, tuple[bool | None, str]]:
        lines = json.loads(tieout("check", "--json", **settings).out)["checks"]
        return {line["says"].partition(":")[0]: (line["ok"], f"{line['check']}: {line['says']}") for line in lines}

    found = looked_at()
    assert found["responds, and accepts the application"][0] is True
    assert any("switched off" in says for _, says in found.values())
    unknown = [says for ok, says in found.values() if ok is None and says.startswith("needed")]
    assert len(unknown) == 1
    assert "TIEOUT_CONFIRMED" in unknown[0]
    served.pair.version = "10.0.42"
    confirmed = looked_at(confirmed="feature").values()
    assert [says for ok, says in confirmed if not ok] == [
        "needed: Finance 10.0.42 is too old. Update it to 10.0.43 or later"
    ]


@pytest.mark.requirement("R5")
def test_a_cut_event_leads_to_a_read_of_its_row(tieout: Tieout, served: Served, tmp_path: Path) -> None:
    """The event contains the key of the row and none of its columns; a table without events is not polled."""
    actual = next(iter(served.pair.tables["msdyn_actual"].rows.values()))
    cut = json.loads((EXAMPLES / "dataverse-truncated-update.json").read_bytes())
    cut |= {"PrimaryEntityName": "msdyn_actual", "PrimaryEntityId": actual.id}
    never = {**cut, "PrimaryEntityName": "mserp_projcdsactualsimportentity", "PrimaryEntityId": "0" * 8}
    lines = tmp_path / "cut.jsonl"
    lines.write_text(
        "".join(json.dumps({"topic": "dataverse.changes", "value": event}) + "\n" for event in (cut, cut, never))
    )
    assert tieout("ingest", str(lines), poll="cdm_company").code == 0
    assert tieout("run", "--until-caught-up").code == 0
    served.pair.faults.next("unavailable", "msdyn_actuals")
    away = {row["table"]: row for row in tieout("poll", "--json").lines}
    of_table = "commands/0/msdyn_actual"
    assert "503" in away[of_table]["fault"]
    read = {row["table"]: row for row in tieout("poll", "--json").lines}
    assert (read[of_table]["rows"], read[of_table]["fault"]) == (1, None)
    assert of_table not in {row["table"] for row in tieout("poll", "--json").lines}
    assert tieout("run", "--until-caught-up").code == 0
    (row,) = [row for row in tieout("dump").lines if time_order(actual.id) in row.get("record", "")]
    assert row["columns"]["msdyn_amount"]["value"] is not None


@pytest.mark.requirement("R5")
def test_a_worker_that_handles_reads_the_row_of_a_cut_event_by_itself(
    tieout: Tieout, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actual = next(iter(served.pair.tables["msdyn_actual"].rows.values()))
    cut = json.loads((EXAMPLES / "dataverse-truncated-update.json").read_bytes())
    cut |= {"PrimaryEntityId": actual.id}
    lines = tmp_path / "cut.jsonl"
    lines.write_text(json.dumps({"topic": "dataverse.changes", "value": cut}) + "\n")
    assert tieout("ingest", str(lines)).code == 0
    assert tieout("run", "--until-caught-up").code == 0
    assert "(msdyn_actual: 1)" in tieout("check").out
    monkeypatch.setattr("tieout.worker.handling.JOB_SECONDS", 0.1)
    monkeypatch.setattr("tieout.worker.handling.ROWS_SECONDS", 1)
    monkeypatch.setenv("TIEOUT_OUTGOING", "true")
    settings, stop = load(), threading.Event()
    deadline = time.monotonic() + 60
    with handling(settings, stop, TopicWriter(settings)):
        while waits(settings) and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.set()
    assert "no row is waiting to be read again" in tieout("check").out
    (row,) = [row for row in tieout("dump").lines if time_order(actual.id) in row.get("record", "")]
    assert row["columns"]["msdyn_amount"]["value"] is not None


def test_a_handler_does_not_begin_with_a_table_that_no_map_reads(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tieout("migrate").code == 0
    monkeypatch.setenv("TIEOUT_OUTGOING", "true")
    monkeypatch.setenv("TIEOUT_POLL", "CustTable")
    settings = load()
    with (
        pytest.raises(SettingError, match="is in no map"),
        handling(settings, threading.Event(), TopicWriter(settings)),
    ):
        pass


def waits(settings: Settings) -> bool:
    with open_store(settings, write=False) as engine, engine.connect() as connection:
        return bool(waiting_rows(connection))


def test_a_poll_that_goes_on_waits_for_a_log_that_another_process_writes_to(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tieout("poll", poll="cdm_company").code == 0
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        held.close()
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(poll, "_pause", pause)
    held = EmbeddedLog.open(tmp_path / ".tieout" / "log.sqlite", "write")
    polled = tieout("poll", "--every", "10")
    assert polled.code == 130
    assert "poll_waits" in polled.err
    assert "dataverse/cdm_company" in polled.out
    assert all(0 < seconds <= 10 for seconds in pauses)
