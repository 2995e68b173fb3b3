"""The large company: its composition, its generation as a stream, and the mishaps of its events."""

import json
import re
import tracemalloc
from collections import Counter
from datetime import date
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.events.facts import Change
from streams.codec import decode
from tests.support.payloads import EXAMPLES
from tests.unit.test_simulator import EXCLUSIONS, MISSING_ACTUAL_CAUSES, MISSING_JOURNAL_LINE_CAUSES
from tieout.maintenance.ingest import read_line
from tieout.simulator import Label, SimulatedEvent, deliver, ingest_lines
from tieout.simulator.amounts import divided
from tieout.simulator.delivery import disordered
from tieout.simulator.event_recorder import text_time
from tieout.simulator.faults import FAULTS
from tieout.simulator.large import COMPANIES, GROUP, TODAY, UNTIL, LargeCompany, in_order
from tieout.simulator.lost_events import DeliveryFailures
from tieout.simulator.payloads import PlainPayloads
from tieout.simulator.scenario import encode

DECIMALS = {"JPY": 0, "KWD": 3}


class Play:
    """A company generated to its end."""

    def __init__(self, documents: int, seed: int = 1, **options: Any) -> None:
        self.labels: list[Label] = []
        self.company = LargeCompany(documents, seed, self.labels.append, **options)
        self.events = list(self.company.events())


@pytest.fixture(scope="module")
def play() -> Play:
    return Play(5_000)


@pytest.mark.requirement("R18")
def test_there_are_more_than_25_kinds_of_faults_each_named_after_a_complaint_or_a_requirement() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert all(
        re.match(r"(A\d+|B\d+|C\d+|R1[0-9]|R2[0-2]|case \d\d) \w|R13$|R14$", fault.taken_from) for fault in FAULTS
    )
    assert len({fault.taken_from for fault in FAULTS if fault.name != "all-went-well"}) >= 25


def test_every_kind_stands_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert f"{len(FAULTS)} kinds of stories" in page
    for fault in FAULTS:
        told = " ".join((fault.play.__doc__ or "").split())
        assert f"| `{fault.name}` | {fault.taken_from} | {told} |" in page


def test_every_kind_is_told_and_labelled(play: Play) -> None:
    told = {label.fault for label in play.labels}
    drawn = {fault.name for fault in FAULTS if fault.weight}
    assert told == drawn - {"expense-deleted-after-posting"} | {"company-renamed-after-posting"}
    assert all(label.taken_from for label in play.labels)


@pytest.mark.requirement("R13", "R15", "R16")
def test_every_position_cause_and_exclusion_occurs(play: Play) -> None:
    causes = MISSING_ACTUAL_CAUSES | MISSING_JOURNAL_LINE_CAUSES | {"posted-in-other-company"}
    assert {label.cause for label in play.labels} - {None} == causes
    assert {label.excluded for label in play.labels} - {None} == EXCLUSIONS | {"project-unknown"}
    assert {label.position for label in play.labels} >= {"reconciled", "excluded", "not-posted"}


@pytest.mark.parametrize("documents", [1, 2, 137])
def test_it_has_as_many_documents_as_asked_each_with_one_label(documents: int) -> None:
    labels = Play(documents).labels
    assert documents <= len(labels) <= documents + 2  # some stories have two documents or three
    assert len({label.document for label in labels}) == len(labels)


def test_its_documents_lie_in_several_companies_and_two_fiscal_years(play: Play) -> None:
    assert {label.company for label in play.labels} == {company.code for company in GROUP}
    assert {label.date.year for label in play.labels} == {2024, 2025}
    assert max(label.date for label in play.labels) <= TODAY
    assert {label.company for label in play.labels if label.excluded == "other-company"} == {"DEPM"}
    assert "DEPM" not in COMPANIES


def test_the_same_transaction_id_is_given_by_several_companies(play: Play) -> None:
    given = Counter(label.document.partition("/")[2] for label in play.labels)
    assert max(given.values()) == len(GROUP)


def test_amounts_have_the_decimals_of_their_currency(play: Play) -> None:
    for label in play.labels:
        row = label.as_row()
        if not label.computable:
            assert row["amount"] is None
            continue
        for told, currency in ((row, label.currency), (row["accounting"], label.accounting_currency)):
            for part in ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference"):
                assert len(told[part].partition(".")[2]) == DECIMALS.get(currency, 2), (label.document, part)


@pytest.mark.requirement("R14")
def test_an_amount_is_divided_to_the_last_yen_and_fils() -> None:
    whole, third = Decimal("100.000"), Decimal("33.333")
    shares = divided(Decimal(5_000), [third, third, whole - 2 * third], whole, "JPY")
    assert list(map(str, shares)) == ["1666", "1667", "1667"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    def lines(seed: int) -> bytes:
        return b"".join(ingest_lines(deliver("large", seed, documents=200).events))

    assert lines(5) == lines(5)
    assert lines(5) != lines(6)


def test_events_come_in_the_order_of_their_times(play: Play) -> None:
    times = [event.value["time"] for event in play.events[:-2]]
    # An update's event leaves a second after its row has changed.
    assert all(later >= earlier or later[:-3] == earlier[:-3] for earlier, later in pairwise(times))
    assert max(times) <= text_time(UNTIL)


def test_every_event_has_an_id_of_its_own_and_every_row_one(play: Play) -> None:
    assert max(Counter(event.value["id"] for event in play.events).values()) == 1
    created = Counter((event.entity, event.key) for event in play.events if event.value["data"].get("version") == 1)
    assert max(created.values()) == 1


def test_it_is_told_in_bounded_memory() -> None:
    tracemalloc.start()
    try:
        events = sum(1 for _ in disordered(LargeCompany(1_500).events(), seed=1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events > 20_000
    assert peak < 20_000_000  # the events together would take several times as much


@pytest.mark.requirement("R1")
def test_disordered_delivery_loses_nothing_and_repeats_some() -> None:
    arrived = list(disordered(range(50_000), seed=3))
    assert set(arrived) == set(range(50_000))
    assert 1.08 < len(arrived) / 50_000 < 1.16
    behind = [turn for place, turn in enumerate(arrived) if place * 50_000 / len(arrived) - turn > 1_000]
    assert len(behind) > 500


@pytest.mark.requirement("R21")
def test_a_silent_feed_sends_nothing_more_and_says_so() -> None:
    play = Play(2_000, silent=True)
    *events, finance, dataverse = play.events
    until = dataverse.value["data"]["until"]
    assert until < finance.value["data"]["until"]
    assert all(event.value["time"] < until for event in events if event.topic == "dataverse.changes")
    assert "feed-silent" in {label.cause for label in play.labels}


@pytest.mark.requirement("R21")
def test_heartbeats_are_optional_but_silence_needs_them() -> None:
    with_them, without = Play(20), Play(20, heartbeats=False)
    assert len(with_them.events) == len(without.events) + 2
    with pytest.raises(ValueError, match="heartbeats"):
        LargeCompany(20, silent=True, heartbeats=False)


# --- payloads --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sent() -> list[SimulatedEvent]:
    """Some events of each family, as the systems send them."""
    return list(deliver("large", 1, documents=300).events)


def family(event: SimulatedEvent) -> str:
    value = event.value
    if "MessageName" in value:
        return "data event" if value["PrimaryEntityName"].startswith("mserp_") else "context"
    known = {"BusinessEventId": "business event", "@odata.context": "page", "specversion": "CloudEvent"}
    return next(name for member, name in known.items() if member in value)


@pytest.mark.requirement("R2", "R3", "R4", "R9")
def test_the_events_are_of_every_family_and_each_is_understood(sent: list[SimulatedEvent]) -> None:
    families = Counter(family(event) for event in sent)
    assert set(families) == {"context", "data event", "business event", "page", "CloudEvent"}
    for line in ingest_lines(sent):
        record = read_line(line, "tieout")
        assert record is not None
        assert record.value is not None
        assert decode(record.value, record.headers)


@pytest.mark.requirement("R2", "R3")
@pytest.mark.parametrize(
    ("example", "name"),
    [
        ("dataverse-expense-create.json", "context"),
        ("fno-data-event-staging-created.json", "data event"),
        ("fno-business-event-vendorinvoiceposted.json", "business event"),
    ],
)
def test_a_made_up_event_has_the_members_of_the_documented_one(
    sent: list[SimulatedEvent], example: str, name: str
) -> None:
    documented = json.loads((EXAMPLES / example).read_text())
    ours = [event.value for event in sent if family(event) == name]
    # Members that newer versions add, and that need not be there.
    newer = {"InitiatingUserAgent", "InitiatingUserAzureActiveDirectoryObjectId", "UserAzureActiveDirectoryObjectId"}
    newer |= {"InvoiceAmountInAccountingCurrency"}
    assert all(documented.keys() - newer - {"OwningExtension"} <= value.keys() for value in ours)


@pytest.mark.requirement("R11")
def test_what_the_systems_send_says_the_same_as_plain_events() -> None:
    def columns(plain: bool) -> dict[tuple[str, str], dict[str, Any]]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for line in ingest_lines(deliver("large", 4, documents=60, plain=plain).events):
            record = read_line(line, "tieout")
            assert record is not None
            for fact in decode(record.value, record.headers):
                if isinstance(fact, Change) and fact.entity == "msdyn_actual":
                    ranked = found.setdefault((fact.entity, fact.id), {})
                    for column, value in fact.columns.items():
                        ranked[column] = max(ranked.get(column, (0, "")), (fact.evidence.at, str(value)[:10]))
        return found

    native, plain = columns(False), columns(True)
    assert native.keys() == plain.keys()
    for row, told in plain.items():
        for column in ("msdyn_transactiontypecode", "msdyn_accountingdate", "assumed_skipsync", "createdon"):
            assert native[row][column] == told[column]


# --- mishaps ---------------------------------------------------------------------------------------------------------


def befallen(documents: int, seed: int) -> tuple[DeliveryFailures, list[SimulatedEvent]]:
    fate = DeliveryFailures(seed, UNTIL, PlainPayloads())
    return fate, [event for _, _, event in in_order(fate.apply(LargeCompany(documents, seed).stories()))]


@pytest.mark.requirement("R5", "R7")
def test_some_events_are_lost_some_cut_and_some_damaged() -> None:
    fate, left = befallen(1_000, 3)
    whole = list(LargeCompany(1_000, 3).events())[:-2]
    cut = [event for event in left if not isinstance(event.value, bytes) and "PrimaryEntityId" in event.value]
    damaged = [event for event in left if isinstance(event.value, bytes)]
    lost = len(whole) - len(left)
    assert min(lost, len(cut), len(damaged)) > 15
    assert lost + len(cut) + len(damaged) == fate.count == len(fate.repairs)
    assert all("InputParameters" not in event.value for event in cut)


def test_what_makes_good_for_mishaps_tells_whole_rows_of_an_hour_later() -> None:
    fate, _ = befallen(1_000, 3)
    whole = {encode(event.value): event for event in LargeCompany(1_000, 3).events()}
    polled = [event for event in fate.repairs if encode(event.value) not in whole]
    assert len(polled) > 60
    first = {(event.entity, event.key): event for event in islice(reversed(list(whole.values())), 2, None)}
    for event in polled:
        created = first[event.entity, event.key].value["data"]["columns"]
        assert event.value["data"]["columns"].keys() >= created.keys()


def test_an_unknown_company_and_a_wish_the_small_one_cannot_grant_are_refused() -> None:
    with pytest.raises(ValueError, match="'middle'"):
        deliver("middle")
    with pytest.raises(ValueError, match="large"):
        deliver("small", documents=10)


def test_the_totals_of_each_company_count_its_own_window(play: Play) -> None:
    summaries = play.company.summaries()
    assert {code: (one["from"], one["currency"]) for code, one in summaries.items()} == {
        company.code: (company.first_open.isoformat(), company.currency) for company in GROUP
    }
    inside = [
        label
        for label in play.labels
        if label.company == "JPPM"
        and label.kind == "expense"
        and label.misses_actual
        and label.date >= date(2025, 1, 1)
    ]
    tile = summaries["JPPM"]["tiles"]["expense_missing_actuals"]
    assert tile["documents"] == len(inside)
