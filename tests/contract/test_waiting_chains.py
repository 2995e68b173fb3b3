"""Events that arrive while chains wait for re-evaluation, on each database."""

import pytest
from sqlalchemy import Engine

from store.projection import writer as writing
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from tests.support.stores import MAPS, apply, reader
from tests.support.story import REFERENCE, changes


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    return store


def batch(events: str) -> DecodedBatch:
    decoded = DecodedBatch()
    decoded.changes += [(change, MAPS.entities[change.entity]) for change in changes(events)]
    return decoded


@pytest.mark.requirement("R11")
def test_a_line_that_arrives_while_its_renamed_company_is_re_evaluated_is_linked_by_the_new_code(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "RECOMPUTED_CHAINS", 1)
    writer = Writer(engine, MAPS, None)
    for events in (REFERENCE, "expense E9 100.00\n record R1 approved @ company=USPM", "owner O1 NEWCO"):
        apply(writer, batch(events))
    # The first chain, which is that of the line E9, has its turn. The line E1 joins the record, which still waits, in a
    # chain that precedes it.
    assert writer.recompute()
    apply(writer, batch("expense E1 100.00"))
    while writer.recompute():
        pass
    with reader(engine).snapshot() as snapshot:
        (row,) = snapshot.documents_named(["USPM/T1"])
    assert (row.document.position, row.document.cause) == ("missing-actual", "not-synced-to-dataverse")
