"""What waits for a row of an asynchronous map has more time before it is late (R19, R21)."""

import msgspec
import pytest

from engine.errors import SettingError
from engine.reconciliation.asynchronous import ASYNC_GRACE, ASYNC_MAPS, HOUR, waiting_for
from engine.reconciliation.explanations import CAUSES
from engine.reconciliation.finding_texts import FINDINGS
from engine.reconciliation.grace import FINDING_GRACE, GRACE, Moment, in_flight, is_reportable, shown_cause
from store.projection.writer import Writer
from store.queries.reader import Reader
from tests.support.stores import MAPS, apply, batch_of, memory_store
from tests.support.story import decide
from tieout.settings import Settings, load

INVOICE = """
    pending-line     P1
    pending-project  X1
    invoice-line     I1
"""
STAGED = "expense E1\n record R1 approved\n actual A1\n staging S1\n"

CAUSES_OF_MAPS = [
    ("msdyn_expenses", "not-synced-to-dataverse", "expense E1"),
    ("msdyn_projectvendorinvoicelines", "not-synced-to-dataverse", INVOICE),
    ("msdyn_projectvendorinvoices", "not-confirmed", INVOICE + "invoice-record N1"),
    ("msdyn_actuals", "actual-not-synced-back", "expense E1\n record R1 approved\n actual A1"),
]
UNTOUCHED = [
    ("not-approved", "expense E1\n record R1 draft"),
    ("no-actual-made", "expense E1\n record R1 approved"),
    ("not-imported", STAGED),
    ("line-not-seen", STAGED + "staging S1 line=L1"),
    ("draft", STAGED + "line L1 draft\n staging S1 line=L1"),
]
"""Causes that wait for another step than a map: Dataverse's own jobs, the import, a person."""


def at(now: int | None, *maps: str, until: dict[str, int] | None = None) -> Moment:
    return Moment(now, until or {}, lambda _entity: True, {}, waiting_for(maps))


@pytest.mark.requirement("R19")
@pytest.mark.parametrize(("name", "cause", "table"), CAUSES_OF_MAPS)
def test_a_document_that_waits_for_a_row_of_an_asynchronous_map_is_in_progress_longer(
    name: str, cause: str, table: str
) -> None:
    document = decide(table).document
    assert document.cause == cause
    usual, later = document.since + GRACE[cause], document.since + ASYNC_GRACE
    assert not in_flight(document, at(usual))
    assert in_flight(document, at(usual, name))
    assert in_flight(document, at(later - 1, name))
    assert not in_flight(document, at(later, name))


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(("name", "cause", "table"), CAUSES_OF_MAPS)
def test_a_row_of_an_asynchronous_map_is_missing_once_its_source_is_complete_beyond_that_time(
    name: str, cause: str, table: str
) -> None:
    document = decide(table).document
    assert document.awaited is not None
    source, later = document.awaited.source, document.since + ASYNC_GRACE
    assert shown_cause(document, at(later, until={source: later - 1})) == cause
    assert shown_cause(document, at(later, name, until={source: later - 1})) == "feed-silent"
    assert shown_cause(document, at(later, name, until={source: later})) == cause


@pytest.mark.requirement("R19")
@pytest.mark.parametrize(("cause", "table"), UNTOUCHED)
def test_what_waits_for_another_step_keeps_its_time(cause: str, table: str) -> None:
    document = decide(table).document
    assert document.cause == cause
    for now in (document.since + GRACE[cause] - 1, document.since + GRACE[cause]):
        assert in_flight(document, at(now, *ASYNC_MAPS)) == in_flight(document, at(now))


@pytest.mark.requirement("R19")
@pytest.mark.parametrize(("name", "cause", "table"), CAUSES_OF_MAPS)
def test_another_asynchronous_map_changes_nothing(name: str, cause: str, table: str) -> None:
    document = decide(table).document
    assert not in_flight(document, at(document.since + GRACE[cause], *(set(ASYNC_MAPS) - {name})))


@pytest.mark.requirement("R19")
def test_there_is_no_grace_while_today_is_set_by_hand() -> None:
    assert not in_flight(decide("expense E1").document, at(None, *ASYNC_MAPS))


@pytest.mark.requirement("R18", "R21")
@pytest.mark.parametrize(
    ("name", "code", "table"),
    [
        ("msdyn_actuals", "not-written-back", STAGED + "staging S1 voucher=PJ-1"),
        ("msdyn_projectvendorinvoicelines", "header-before-lines", "header H1 confirmed"),
    ],
)
def test_a_finding_that_waits_for_a_row_of_an_asynchronous_map_has_that_time_too(
    name: str, code: str, table: str
) -> None:
    finding = decide(table).finding(code)
    usual, later = finding.evidence.at + FINDING_GRACE, finding.evidence.at + ASYNC_GRACE
    assert is_reportable(finding, at(usual))
    assert not is_reportable(finding, at(later - 1, name))
    assert is_reportable(finding, at(later, name))
    assert is_reportable(finding, at(None, name))


def test_every_code_that_waits_for_a_map_exists() -> None:
    assert {code.split()[0] for code in waiting_for(ASYNC_MAPS)} <= {*CAUSES, *FINDINGS}
    # What is in progress is looked for among the documents of one day (`store.queries.summary`).
    assert max(GRACE.values()) <= 24 * HOUR
    assert HOUR <= ASYNC_GRACE <= 24 * HOUR


def test_a_reader_passes_the_setting_on() -> None:
    engine = memory_store()
    apply(Writer(engine, MAPS), batch_of([]))
    settings = msgspec.structs.replace(Settings(), async_maps=("msdyn_actuals", "invoices"))
    with Reader(engine, MAPS, delayed=settings.delayed).snapshot() as snapshot:
        assert snapshot.moment.delayed == {"actual-not-synced-back", "not-written-back"}


def test_the_setting_names_maps_of_project_operations() -> None:
    assert load({"TIEOUT_ASYNC_MAPS": "msdyn_actuals, invoices"}).async_maps == ("msdyn_actuals", "invoices")
    assert load({}).delayed == frozenset()
    with pytest.raises(SettingError, match=r"TIEOUT_ASYNC_MAPS: 'msdyn_actual' is no dual-write map.*msdyn_expenses"):
        load({"TIEOUT_ASYNC_MAPS": "msdyn_actuals,msdyn_actual"})
