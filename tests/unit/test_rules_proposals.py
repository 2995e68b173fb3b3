"""Which invoice proposals wait, and for which transactions (R56)."""

from typing import Any

import pytest

from engine.mapping.compiler import EntityMap
from engine.reconciliation.invoice_proposals import Proposal
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.queries.reader import Reader
from tests.support.stores import MAPS, TODAY, apply, memory_store
from tests.support.story import REFERENCE, changes, id_of

pytestmark = pytest.mark.requirement("R56")


def proposals(table: str, company: str | None = None) -> list[Proposal]:
    """Return the waiting proposals after the events of a table."""
    engine = memory_store()
    batch = DecodedBatch()
    for change in (*changes(REFERENCE), *changes(table)):
        entity_map = MAPS.find(change.entity)
        assert isinstance(entity_map, EntityMap)
        batch.changes.append((change, entity_map))
    writer = Writer(engine, MAPS)
    apply(writer, batch)
    while writer.recompute():
        pass
    with Reader(engine, MAPS, today=TODAY).snapshot() as snapshot:
        return snapshot.proposals(company)


BILLED = """
    expense    E1
    actual     A1   120.00 type=unbilled-sales document-date=2024-12-30 currency=USD
    staging    S1   of=A1
    actual     A2   120.00 type=billed-sales of=
    billing    C1   A2 of=A1
    staging    S2   of=A2 proposal=PI-1
    proposal   B1
"""
"""A proposal of one transaction, whose unbilled sale is not imported."""

NOTHING_SEEN = "None of its billed sales has arrived in Finance."
ALL_POSTED = "All its transactions are posted."

CASES: list[tuple[str, str, str | None]] = [
    ("not imported", "", "Not posted yet: 2024-12-30 120.00 USD (not imported)."),
    (
        "in a journal",
        "staging S1 line=L1\nline L1 draft\njournal J1 draft",
        "Not posted yet: 2024-12-30 120.00 USD (draft in journal USPM-041).",
    ),
    (
        "in error",
        "staging S1 line=L1\nline L1 error\njournal J1 error",
        "Not posted yet: 2024-12-30 120.00 USD (error in journal USPM-041).",
    ),
    ("posted, by its line", "staging S1 line=L1\nline L1 posted\njournal J1 posted", ALL_POSTED),
    ("posted, by the voucher in Finance", "staging S1 voucher=V-1", ALL_POSTED),
    ("posted, by the voucher in Dataverse", "actual A1 voucher=V-1", ALL_POSTED),
    ("not in Finance", "staging S1 delete", "Not posted yet: 2024-12-30 120.00 USD (not synced back)."),
    (
        "two transactions, the earlier first",
        """
        actual A3 60.00 type=unbilled-sales document-date=2024-12-05 currency=EUR of=
        staging S3 of=A3
        actual A4 60.00 type=billed-sales of=
        billing C2 A4 of=A3
        staging S4 of=A4 proposal=PI-1
        """,
        "Not posted yet: 2024-12-05 60.00 EUR (not imported); 2024-12-30 120.00 USD (not imported).",
    ),
    (
        "an unbilled sale that names the proposal itself",
        "staging S2 proposal=\nstaging S1 proposal=PI-1",
        "Not posted yet: 2024-12-30 120.00 USD (not imported).",
    ),
    (
        "a reversal of the unbilled sale is no transaction of the proposal",
        "actual A5 -120.00 type=unbilled-sales of= skip-sync=true\nreversal C5 A5 of=A1",
        "Not posted yet: 2024-12-30 120.00 USD (not imported).",
    ),
    (
        "a transaction of which only the id is known",
        "actual A1 delete\nstaging S1 delete",
        f"Not posted yet: actual {id_of('A1')} (not seen).",
    ),
    ("a connection that has not come", "billing C1 delete", "Unbilled sales not known of 1 billed sales."),
    ("an actual that has not come", "actual A2 delete", "Unbilled sales not known of 1 billed sales."),
    ("no billed sale has come", "staging S2 delete", NOTHING_SEEN),
    ("another company's proposal of this number", "staging S2 @GBPM", NOTHING_SEEN),
    ("lines are made", "proposal B1 120.00", None),
    ("an invoice came of it, of nothing", "proposal B1 invoice=INV-1", None),
    ("deleted", "proposal B1 delete", None),
    ("its amount is not known", "proposal B1 amount=", None),
]


@pytest.mark.parametrize(("then", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_proposal_without_an_amount_says_which_transactions_to_post(then: str, message: str | None) -> None:
    assert [one.message() for one in proposals(f"{BILLED}\n{then}")] == ([message] if message else [])


def test_it_is_told_whatever_came_first() -> None:
    story = BILLED.strip().splitlines()
    assert proposals("\n".join(reversed(story))) == proposals(BILLED)


def test_a_proposal_says_what_to_do_and_leads_to_the_documents() -> None:
    (proposal,) = proposals(BILLED)
    assert proposal.as_json() == {
        "proposal": "PI-1",
        "company": "USPM",
        "date": "2025-01-08",
        "contract": None,
        "amount": "0.00",
        "currency": "USD",
        "billed": 1,
        "unknown": 0,
        "to_post": [
            {
                "date": "2024-12-30",
                "amount": "120.00",
                "currency": "USD",
                "state": "not-imported",
                "journal": None,
                "document": None,
                "actual": id_of("A1"),
            }
        ],
        "message": "Not posted yet: 2024-12-30 120.00 USD (not imported).",
        "resolution": "Import the missing transactions, post the integration journals, "
        "then run Import from staging again.",
    }
    (proposal,) = proposals(f"{BILLED}\nrecord R1 approved")
    assert [one.document for one in proposal.to_post] == ["USPM/T1"]


@pytest.mark.parametrize(
    ("then", "resolution"),
    [
        ("staging S1 voucher=V-1", "Run Import from staging."),
        ("staging S2 delete", "Sync its actuals to Finance again"),
        ("billing C1 delete", "Check that the actuals and transaction connections of Dataverse have been read."),
    ],
)
def test_what_a_person_does_follows_what_is_missing(then: str, resolution: str) -> None:
    (proposal,) = proposals(f"{BILLED}\n{then}")
    assert proposal.resolution.startswith(resolution)


def test_a_company_has_its_own_proposals_the_oldest_first() -> None:
    table = """
    proposal B1 date=2025-01-05
    proposal B2 date=2025-01-03
    proposal B3 @GBPM date=2025-01-04
    """
    proposal: Any = [(one.number, one.company) for one in proposals(table)]
    assert proposal == [("PI-2", "USPM"), ("PI-3", "GBPM"), ("PI-1", "USPM")]
    assert [one.number for one in proposals(table, "USPM")] == ["PI-2", "PI-1"]
