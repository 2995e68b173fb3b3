"""The simulated company, its delivery and the benchmark load."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.workload import EVENTS_PER_DOCUMENT, Workload, outcome_of
from tests.support.reports import log_of
from tieout.simulator import SimulatedEvent, Simulation, ingest_lines, label_lines, simulate
from tieout.simulator.delivery import unreliable
from tieout.simulator.event_recorder import sequential_guid

MISSING_ACTUAL_CAUSES = {
    "not-synced-to-dataverse",
    "not-approved",
    "not-confirmed",
    "awaiting-manual-verification",
    "no-actual-made",
    "actual-reversed",
    "cancelled-in-dataverse",
    "rejected-in-dataverse",
    "recalled-in-dataverse",
    "actual-not-synced-back",
}
MISSING_JOURNAL_LINE_CAUSES = {
    "not-imported",
    "line-not-seen",
    "draft",
    "error",
    "processing",
    "unrecoverable",
    "invalid-actual",
}
EXCLUSIONS = {"no-project", "cancelled", "intercompany-cost", "skip-sync", "other-company"}


@pytest.fixture(scope="module")
def told() -> Simulation:
    return simulate(deliver=False)


def causes(simulation: Simulation, position: str) -> set[str | None]:
    return {label.cause for label in simulation.labels if label.position == position}


def rows(simulation: Simulation) -> list[dict[str, Any]]:
    return [event.value["data"] for event in simulation.events if event.entity]


def columns(simulation: Simulation) -> list[dict[str, Any]]:
    return [data["columns"] for data in rows(simulation) if "columns" in data]


def identities(events: list[SimulatedEvent] | tuple[SimulatedEvent, ...]) -> Counter[str]:
    return Counter(event.value["id"] for event in events)


@pytest.mark.requirement("R80")
@pytest.mark.parametrize("seed", [1, 2, 77])
def test_the_totals_are_those_of_the_documented_screenshots(seed: int) -> None:
    summary = simulate(seed=seed).summary
    assert summary["unreconciled"]["expense"] == {"amount": "9000.00", "documents": 49}
    assert summary["unreconciled"]["vendor_invoice"] == {"amount": "28000.00", "documents": 9}
    assert {name: tile["amount"] for name, tile in summary["tiles"].items()} == {
        "vendor_invoice_missing_journal_lines": "23000.00",
        "vendor_invoice_missing_actuals": "5000.00",
        "expense_missing_journal_lines": "5000.00",
        "expense_missing_actuals": "4000.00",
    }
    assert (summary["from"], summary["to"]) == ("2024-03-01", "2025-01-08")


@pytest.mark.requirement("R80")
def test_forty_flights_of_today_miss_their_actual(told: Simulation) -> None:
    rows = [label for label in told.labels if label.misses_actual and label.kind == "expense"]
    today = [label for label in rows if label.date == told.today]
    assert told.today == date(2025, 1, 8)
    assert [str(label.amount) for label in today] == ["100.00"] * 40
    assert "USPM/USPM-PT000463" in {label.document for label in today}


def test_the_invoice_that_misses_its_actual_is_the_documented_one(told: Simulation) -> None:
    (invoice,) = [row for row in columns(told) if row.get("InvoiceId") == "Inv-6" and "LineNum" in row]
    assert (invoice["LineAmount"], invoice["CurrencyCode"], invoice["LineNum"]) == ("5000.00", "USD", "1.0000000000")


@pytest.mark.requirement("R15")
def test_every_cause_of_a_missing_actual_occurs(told: Simulation) -> None:
    assert causes(told, "missing-actual") == MISSING_ACTUAL_CAUSES


@pytest.mark.requirement("R16")
def test_every_cause_of_a_missing_journal_line_occurs(told: Simulation) -> None:
    assert causes(told, "missing-journal-line") == MISSING_JOURNAL_LINE_CAUSES


@pytest.mark.requirement("R13")
def test_every_exclusion_occurs_and_carries_no_part(told: Simulation) -> None:
    excluded = [label for label in told.labels if label.position == "excluded"]
    assert {label.excluded for label in excluded} == EXCLUSIONS
    assert not any(label.missing_actual or label.missing_journal_line or label.reconciled for label in excluded)


def test_every_document_has_one_label(told: Simulation) -> None:
    assert max(Counter(label.document for label in told.labels).values()) == 1
    assert {label.position for label in told.labels} >= {"reconciled", "not-posted"}


def test_amounts_have_the_decimals_of_their_currency(told: Simulation) -> None:
    amounts = [amount for label in told.labels for amount in label.accounting.values()]
    amounts += [str(label.amount) for label in told.labels]
    assert all(amount[-3] == "." for amount in amounts)


def test_a_label_that_contradicts_itself_is_refused(told: Simulation) -> None:
    label = next(label for label in told.labels if label.position == "reconciled" and label.amount)
    with pytest.raises(ValueError, match="add up"):
        replace(label.parts, difference=label.amount)


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = simulate(seed=5), simulate(seed=5), simulate(seed=6)
    assert b"".join(ingest_lines(first.events)) == b"".join(ingest_lines(again.events))
    assert b"".join(label_lines(first.labels)) == b"".join(label_lines(again.labels))
    assert b"".join(ingest_lines(first.events)) != b"".join(ingest_lines(other.events))


def test_an_unknown_company_is_named_in_the_refusal() -> None:
    with pytest.raises(ValueError, match="'middle'"):
        simulate("middle")


def test_every_event_has_an_id_of_its_own_and_every_row_one_key(told: Simulation) -> None:
    assert max(identities(told.events).values()) == 1
    keys = {(event.topic, event.key, event.entity) for event in told.events if event.entity}
    first = Counter((data["entity"], data["id"]) for data in rows(told) if data.get("version") == 1)
    assert max(first.values()) == 1
    assert len(keys) == len({(data["entity"], data["id"]) for data in rows(told)})


def test_the_times_of_a_row_only_rise(told: Simulation) -> None:
    last: dict[tuple[str, str], str] = {}
    for event in told.events[:-2]:
        row = event.entity, event.key
        assert last.get(row, "") < event.value["time"], row
        last[row] = event.value["time"]


def test_the_heartbeats_come_last_and_cover_everything(told: Simulation) -> None:
    *events, finance, dataverse = simulate().events
    assert {finance.topic, dataverse.topic} == {"finance.changes", "dataverse.changes"}
    until = finance.value["data"]["until"]
    assert all(event.value["time"] <= until for event in events)


@pytest.mark.requirement("R1")
def test_delivery_loses_nothing_and_repeats_some(told: Simulation) -> None:
    sent, arrived = identities(told.events), identities(simulate().events)
    assert set(sent) == set(arrived)
    assert 1.05 < arrived.total() / sent.total() < 1.25
    assert set(arrived.values()) == {1, 2}


def test_delivery_reorders_across_a_wide_window() -> None:
    arrived = unreliable(range(5000), seed=3)
    behind = [highest - turn for turn, highest in zip(arrived, highest_so_far(arrived), strict=True)]
    assert sum(lag > 100 for lag in behind) > 500
    assert max(behind) > 600


def highest_so_far(turns: list[int]) -> Iterator[int]:
    highest = 0
    for turn in turns:
        highest = max(highest, turn)
        yield highest


def test_delivery_can_lose_messages_when_asked() -> None:
    assert 800 < len(set(unreliable(range(1000), seed=3, lost=0.1))) < 970


def test_guids_are_sequential_like_those_of_dataverse() -> None:
    assert sequential_guid(0x1EFD42CF6F526FF) == "ff26f5f6-2cd4-ef11-a730-0022480431d9"


def test_lines_are_what_ingest_reads(told: Simulation) -> None:
    line = json.loads(next(iter(ingest_lines(told.events))))
    assert set(line) == {"topic", "key", "headers", "value"}
    assert line["value"]["type"] == "tieout.row.changed"
    assert line["value"]["data"]["operation"] == "upsert"


def test_pending_invoice_rows_are_deleted_after_posting(told: Simulation) -> None:
    deleted = Counter(data["entity"] for data in rows(told) if data["operation"] == "delete")
    assert set(deleted) >= {"VendInvoiceInfoLine_Project", "VendInvoiceInfoLine", "ProjAdvancedJournalLine"}


def load(documents: int) -> list[tuple[str, bytes, bytes]]:
    return list(Workload(documents).document_events())


def test_the_load_has_eight_events_of_about_300_bytes_for_each_document() -> None:
    messages = [message for message in load(1000) if b'"ProjAdvancedJournalId"' not in message[2]]
    numbers = Counter(int(json.loads(value)["id"], 16) // EVENTS_PER_DOCUMENT for _, _, value in messages)
    assert numbers == dict.fromkeys(range(1000), EVENTS_PER_DOCUMENT)
    assert 270 < sum(len(value) for _, _, value in messages) / len(messages) < 360


def test_the_keys_of_the_load_are_the_rows_ids() -> None:
    assert all(json.loads(value)["data"]["id"].encode() == key for _, key, value in load(200))


def test_the_load_spreads_each_document_over_what_follows() -> None:
    places: dict[int, list[int]] = {}
    for place, (_, _, value) in enumerate(load(2000)):
        if b'"ProjAdvancedJournalId"' not in value:
            places.setdefault(int(json.loads(value)["id"], 16) // EVENTS_PER_DOCUMENT, []).append(place)
    spreads = [max(at) - min(at) for at in places.values()]
    assert 1000 < sum(spreads) / len(spreads) < 2200


def test_the_expected_totals_of_the_load_are_those_of_its_documents() -> None:
    expected = Workload(9_137).expected()
    outcomes = Counter(outcome_of(number) for number in range(9_137))
    assert expected.expense_missing_actuals.documents == outcomes["missing-actual"]
    assert expected.expense_missing_journal_lines.documents == outcomes["missing-journal-line"]
    assert expected.reconciled.documents == outcomes["reconciled"]
    amounts = [
        json.loads(value)["data"]["columns"]["AmountMST"] for _, _, value in load(9_137) if b'"AmountMST"' in value
    ]
    parts = (expected.expense_missing_actuals, expected.expense_missing_journal_lines, expected.reconciled)
    assert sum(part.amount for part in parts) == sum(map(Decimal, amounts))


def test_the_load_says_how_many_events_it_has() -> None:
    assert Workload(450).expected().events == sum(1 for _ in Workload(450))


@pytest.mark.requirement("R51", "R53", "R54")
def test_the_small_company_has_current_errors_one_of_them_repeated_and_some_that_a_later_run_cleared() -> None:
    made = simulate("small", 1)
    reports = [json.loads(line) for line in ingest_lines(made.events) if b"tieout.process." in line]
    told = log_of(reports, 24 * 3, history=True)
    standing = {(entry.as_json()["code"], entry.status.state) for entry in told}
    assert standing == {
        ("NO_OPEN_PERIOD", "current"),
        ("NO_OPEN_PERIOD", "history"),
        ("LINE_FAILED", "current"),
        ("LINE_FAILED", "history"),
        ("BILLED_MISMATCH", "current"),
        ("BILLED_MISMATCH", "history"),
        ("UNKNOWN", "history"),
    }
    repeated = [entry for entry in told if entry.as_json()["code"] == "NO_OPEN_PERIOD" and entry.current]
    assert [entry.count for entry in repeated] == [2]
    journals = {
        event.value["data"]["columns"].get("ProjAdvancedJournalId")
        for event in made.events
        if event.entity == "ProjAdvancedJournal" and "columns" in event.value["data"]
    }
    assert {entry.message.subject for entry in told} - journals == {"PI-000209", "PI-000211", "PI-000213"}
