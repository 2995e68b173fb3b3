"""Findings that belong to no document, on each database."""

import pytest
from sqlalchemy import Engine, text

from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from tests.support.stores import MAPS, apply, reader
from tests.support.story import REFERENCE, changes

STORY = """
    expense   E1   100.00
    record    R1   approved
    actual    A1   90.00 currency=USD voucher=PJ-1
    staging   S1   voucher=PJ-1
    record    R5   approved
    record    R6   approved @GBPM
    record    R7   approved @
    journal   J20  number=USPM-020 posted
    line      L20  posted voucher=PJ-20 amount=250.00 currency=USD in=J20
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    writer = Writer(store, MAPS, None)
    for events in (REFERENCE, STORY):
        batch = DecodedBatch()
        batch.changes += [(change, MAPS.entities[change.entity]) for change in changes(events)]
        apply(writer, batch)
    while writer.recompute():
        pass
    return store


def found(engine: Engine, company: str | None = None, code: str | None = None) -> list[tuple[str, str | None]]:
    with reader(engine).snapshot() as snapshot:
        selected = None if company is None else snapshot.company(company)
        found = [(item.finding.code, item.company) for item in snapshot.loose_findings(selected, code)]
        return sorted(found, key=lambda item: (item[0], item[1] or ""))


@pytest.mark.requirement("R18")
def test_findings_without_a_document_are_listed_with_the_company_of_their_row(engine: Engine) -> None:
    # That the actual of E1 has another amount belongs to a document.
    assert found(engine) == [
        ("orphan-in-dataverse", None),
        ("orphan-in-dataverse", "GBPM"),
        ("orphan-in-dataverse", "USPM"),
        ("orphan-journal-line", "USPM"),
    ]


def test_a_company_has_its_own_and_those_of_unknown_companies(engine: Engine) -> None:
    assert found(engine, "GBPM") == [("orphan-in-dataverse", None), ("orphan-in-dataverse", "GBPM")]
    assert found(engine, "USPM", "orphan-journal-line") == [("orphan-journal-line", "USPM")]


def test_they_are_read_from_an_index_of_their_own_on_sqlite(sqlite_store: Engine) -> None:
    # PostgreSQL reads a small table as a whole.
    query = "EXPLAIN QUERY PLAN SELECT body FROM findings WHERE document IS NULL ORDER BY code, owner, number"
    with sqlite_store.connect() as connection:
        assert "ix_findings_loose" in str(connection.execute(text(query)).all())
