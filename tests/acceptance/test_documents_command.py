"""`tieout summary`, `documents`, `chain` and `proposals`: for people and for programs."""

import json
import re
from uuid import UUID

import pytest

from engine.reconciliation.explanations import LABELS
from tests.support.commandline import TODAY, Tieout, error_text, ingest_and_project
from tests.support.ingest_lines import json_lines, posted_expense, row_change

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
        # The header of an invoice and a journal affect a chain without belonging to it.
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
    assert "no company 'XX'" in error_text(demonstrated("proposals", "--company", "XX"))


def test_an_unknown_company_is_told_with_those_there_are(demonstrated: Tieout) -> None:
    assert "no company 'FRRT' here; known are GBPM, USPM" in error_text(demonstrated("summary", "--company", "FRRT"))
    assert "known are" in error_text(demonstrated("documents", "--company", "FRRT"))


def test_an_unknown_document_is_told(demonstrated: Tieout) -> None:
    assert "no document 'USPM/none'" in error_text(demonstrated("chain", "USPM/none"))


@pytest.mark.requirement("R30")
def test_without_an_open_period_the_message_says_what_to_do(
    demonstrated: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_TODAY", "2031-05-01")
    assert "--from and --to" in error_text(demonstrated("summary", "--company", "USPM"))
    window = ("--from", "2024-03-01", "--to", TODAY)
    assert demonstrated("summary", "--company", "USPM", *window).code == 0


@pytest.mark.requirement("R30")
def test_both_ends_of_the_window_can_be_set(demonstrated: Tieout) -> None:
    one_day = ("--from", TODAY, "--to", TODAY)
    (summary,) = demonstrated("summary", "--company", "USPM", *one_day, "--json").lines
    assert (summary["from"], summary["to"]) == (TODAY, TODAY)
    assert summary["tiles"]["expense_missing_actuals"] == {"amount": "4000.00", "documents": 40}
    assert summary["tiles"]["vendor_invoice_missing_journal_lines"]["documents"] == 0
    assert "its start is after its end" in error_text(
        demonstrated("summary", "--company", "USPM", "--from", "2025-01-09")
    )


@pytest.mark.requirement("R18")
def test_findings_without_a_document_have_a_list_for_people_and_for_programs(tieout: Tieout) -> None:
    orphan = row_change("msdyn_expense", str(UUID(int=9)), source="dataverse", assumed_externalexpenseid="EX-9")
    ingest_and_project(tieout, json_lines(posted_expense("1"), orphan))
    (line,) = tieout("findings", "--json").lines
    assert {name: line[name] for name in ("code", "company", "entity", "id", "document")} == {
        "code": "orphan-in-dataverse",
        "company": "USPM",
        "entity": "msdyn_expense",
        "id": str(UUID(int=9)),
        "document": None,
    }
    shown = tieout("findings", "--company", "USPM").out
    assert "Recommended action: " in shown
    assert "1 finding." in shown
    assert tieout("findings", "--code", "orphan-in-finance").out == "No findings without a document.\n"


def test_an_unknown_code_of_a_finding_is_refused_with_the_known_ones(demonstrated: Tieout) -> None:
    refused = demonstrated("findings", "--code", "orphan")
    assert refused.code == 1
    assert "there is no finding 'orphan'; there are ambiguous-invoice, " in error_text(refused)
