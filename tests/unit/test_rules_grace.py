"""When a missing step may be reported (R21), and which documents are in progress (R19)."""

import pytest

from engine.reconciliation.documents import Document
from engine.reconciliation.grace import FINDING_GRACE, GRACE, Moment, in_flight, is_reportable, shown_cause
from tests.support.story import MINUTE, decide

INVOICE = """
    pending-line     P1
    pending-project  X1
    invoice-line     I1
    invoice-record   N1
"""
STAGED = "expense E1\n record R1 approved\n actual A1\n staging S1\n"

# A table for each cause, and, where it rests on an absence, who would have sent what is absent.
CAUSES: dict[str, tuple[str, str | None]] = {
    "not-synced-to-dataverse": ("expense E1", "dataverse"),
    "not-approved": ("expense E1\n record R1 draft", "dataverse"),
    "not-confirmed": (INVOICE, "dataverse"),
    "no-actual-made": ("expense E1\n record R1 approved", "dataverse"),
    "actual-not-synced-back": ("expense E1\n record R1 approved\n actual A1", "finance"),
    "not-imported": (STAGED, "finance"),
    "line-not-seen": (STAGED + "staging S1 line=L1", "finance"),
    "awaiting-manual-verification": (INVOICE + "header H1 draft automatic=false", None),
    "cancelled-in-dataverse": ("expense E1\n record R1 state=inactive", None),
    "actual-reversed": (STAGED + "actual A2 of=\n staging S2\n reversal C1 A2 of=A1", None),
    "draft": (STAGED + "line L1 draft\n staging S1 line=L1", None),
    "error": (STAGED + "line L1 error\n staging S1 line=L1", None),
    "processing": (STAGED + "line L1 processing\n staging S1 line=L1", None),
    "unrecoverable": (STAGED + "line L1 unrecoverable\n staging S1 line=L1", None),
    "invalid-actual": (STAGED + "line L1 invalid-actual\n staging S1 line=L1", None),
}
ABSENCES = [(cause, source) for cause, (_, source) in CAUSES.items() if source]
OTHER = {"dataverse": "finance", "finance": "dataverse"}
LATER = 365 * 24 * 60 * MINUTE


def document_of(cause: str) -> Document:
    document = decide(CAUSES[cause][0]).document
    assert document.cause == cause
    return document


def at(now: int | None, until: dict[str, int] | None = None, *, seen: bool = True) -> Moment:
    """A moment at which the sources are known complete up to `until` and every entity was seen, or none."""
    return Moment(now, until or {}, lambda _entity: seen)


# --- R21 --------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(("cause", "source"), ABSENCES)
def test_an_absence_is_claimed_up_to_the_time_to_which_its_source_is_complete(cause: str, source: str) -> None:
    document = document_of(cause)
    step = document.since + GRACE[cause]
    now = step + LATER
    assert shown_cause(document, at(now, {source: step})) == cause
    assert shown_cause(document, at(now, {source: step - 1})) == "feed-silent"


@pytest.mark.requirement("R5", "R21")
@pytest.mark.parametrize(("cause", "source"), ABSENCES)
def test_nothing_is_missing_while_a_row_of_what_is_awaited_was_not_read_yet(cause: str, source: str) -> None:
    document = document_of(cause)
    assert document.awaited is not None
    complete = {source: document.since + LATER}
    for entity in document.awaited.entities:
        for until in ({}, complete):
            assert shown_cause(document, Moment(None, until, lambda _entity: True, {entity: 1})) == "not-read-yet"
    # The less that is known, the earlier in the order; rows of other tables are not relevant.
    silent = Moment(None, {source: document.since - MINUTE}, lambda _entity: True, {document.awaited.entities[0]: 1})
    assert shown_cause(document, silent) == "feed-silent"
    assert shown_cause(document, Moment(None, {}, lambda _entity: True, {"VendTable": 1})) == cause


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(("cause", "source"), ABSENCES)
def test_the_other_source_says_nothing_about_it(cause: str, source: str) -> None:
    document = document_of(cause)
    complete = {OTHER[source]: document.since + LATER, source: document.since - MINUTE}
    assert shown_cause(document, at(document.since + LATER, complete)) == "feed-silent"


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(("cause", "source"), ABSENCES)
def test_there_is_no_grace_while_today_is_set_by_hand(cause: str, source: str) -> None:
    document = document_of(cause)
    assert shown_cause(document, at(None, {source: document.since})) == cause
    assert shown_cause(document, at(None, {source: document.since - 1})) == "feed-silent"


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(("cause", "source"), ABSENCES)
def test_what_an_environment_never_sent_is_not_observed_and_never_missing(cause: str, source: str) -> None:
    document = document_of(cause)
    assert shown_cause(document, at(document.since + LATER, seen=False)) == "not-observed"
    assert shown_cause(document, at(document.since, seen=True)) == cause


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("cause", [cause for cause, (_, source) in CAUSES.items() if source is None])
def test_a_cause_that_rests_on_something_seen_is_claimed_whoever_is_silent(cause: str) -> None:
    document = document_of(cause)
    assert document.awaited is None
    assert shown_cause(document, at(document.since, seen=False)) == cause
    assert shown_cause(document, at(document.since + LATER, {"dataverse": 0, "finance": 0})) == cause


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(
    ("cause", "entity"),
    [
        ("not-synced-to-dataverse", "msdyn_expense"),
        ("not-approved", "msdyn_expense"),
        ("not-confirmed", "msdyn_projectvendorinvoice"),
        ("no-actual-made", "msdyn_actual"),
        ("actual-not-synced-back", "ProjCDSActualsImport"),
        ("not-imported", "ProjCDSActualsImport"),
        ("line-not-seen", "ProjAdvancedJournalLine"),
    ],
)
def test_a_cause_names_the_rows_it_waits_for(cause: str, entity: str) -> None:
    document = document_of(cause)
    assert shown_cause(document, Moment(None, {}, lambda name: name == entity)) == cause
    assert shown_cause(document, Moment(None, {}, lambda name: name != entity)) == "not-observed"


@pytest.mark.requirement("R21")
def test_a_vendor_invoice_line_waits_for_invoice_lines_not_for_expenses() -> None:
    document = decide(INVOICE.replace("invoice-record   N1", "")).document
    assert document.cause == "not-synced-to-dataverse"
    assert shown_cause(document, Moment(None, {}, lambda name: name == "msdyn_expense")) == "not-observed"
    expected = "msdyn_projectvendorinvoiceline"
    assert shown_cause(document, Moment(None, {}, lambda name: name == expected)) == document.cause


# A table for each finding that rests on an absence, who would have sent what is absent, and its entity.
ORPHANS: dict[str, tuple[str, str, str]] = {
    "orphan-in-finance": ("staging S1", "dataverse", "msdyn_actual"),
    "orphan-journal-line": ("line L1 draft", "finance", "ProjCDSActualsImport"),
    "orphan-in-dataverse": ("record R1", "finance", "TrvExpTrans"),
    "orphan-in-dataverse of an invoice": ("invoice-record N1", "finance", "VendInvoiceTrans"),
    "header-before-lines": ("header H1 confirmed", "dataverse", "msdyn_projectvendorinvoiceline"),
    "not-written-back": (STAGED + "staging S1 voucher=PJ-1", "dataverse", "msdyn_actual"),
}


@pytest.mark.requirement("R18", "R21")
@pytest.mark.parametrize(("code", "case"), ORPHANS.items(), ids=ORPHANS.keys())
def test_a_finding_that_rests_on_absence_is_told_as_far_as_its_source_is_complete(
    code: str, case: tuple[str, str, str]
) -> None:
    table, source, entity = case
    finding = decide(table).finding(code.split()[0])
    at_once, later = finding.evidence.at, finding.evidence.at + FINDING_GRACE
    assert is_reportable(finding, at(None))
    assert is_reportable(finding, at(None, {source: at_once}))
    assert not is_reportable(finding, at(None, {source: at_once - 1, OTHER[source]: later}))
    assert not is_reportable(finding, at(later + LATER, {source: later - 1}))
    assert is_reportable(finding, at(later + LATER, {source: later}))
    assert not is_reportable(finding, Moment(None, {}, lambda name: name != entity))
    assert is_reportable(finding, Moment(None, {}, lambda name: name == entity))
    # Nor while the row that it misses may be one that was not read yet.
    assert not is_reportable(finding, Moment(None, {source: later}, lambda _name: True, {entity: 1}))


@pytest.mark.requirement("R18", "R19")
def test_the_other_half_of_an_orphan_has_its_grace() -> None:
    finding = decide("staging S1").finding("orphan-in-finance")
    assert not is_reportable(finding, at(finding.evidence.at + FINDING_GRACE - 1))
    assert is_reportable(finding, at(finding.evidence.at + FINDING_GRACE))


@pytest.mark.requirement("R21")
def test_a_finding_about_what_was_seen_is_told_whoever_is_silent() -> None:
    finding = decide("expense E1\n record R1 amount=99.00").finding("amount-differs")
    assert is_reportable(finding, at(finding.evidence.at, {"dataverse": 0, "finance": 0}, seen=False))


# --- R19 --------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R19")
@pytest.mark.parametrize("cause", sorted(GRACE))
def test_a_chain_younger_than_the_grace_of_its_step_is_in_flight(cause: str) -> None:
    document = document_of(cause)
    grown = document.since + GRACE[cause]
    assert in_flight(document, at(document.since))
    assert in_flight(document, at(grown - 1))
    assert not in_flight(document, at(grown))


@pytest.mark.requirement("R19")
@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_nothing_is_in_flight_while_today_is_set_by_hand(cause: str) -> None:
    assert not in_flight(document_of(cause), at(None))


@pytest.mark.requirement("R19")
@pytest.mark.parametrize("cause", sorted(CAUSES.keys() - GRACE.keys()))
def test_a_step_that_waits_for_a_person_has_no_grace(cause: str) -> None:
    document = document_of(cause)
    assert not in_flight(document, at(document.since))


@pytest.mark.requirement("R19")
@pytest.mark.parametrize(
    "table",
    [STAGED + "staging S1 voucher=PJ-1", "expense E1 approved", "expense E1 project="],
    ids=["reconciled", "not posted", "excluded"],
)
def test_what_misses_nothing_is_not_in_flight(table: str) -> None:
    document = decide(table).document
    assert not in_flight(document, at(document.since))


@pytest.mark.requirement("R19")
def test_a_step_forward_starts_a_new_grace() -> None:
    sent = document_of("actual-not-synced-back")
    imported = document_of("not-imported")
    assert imported.since > sent.since
    assert in_flight(imported, at(sent.since + GRACE["actual-not-synced-back"]))
