"""A writer that publishes nothing, as a rebuilt store has it, writes the same rows."""

import json

import pytest

from store.projection.batch_plan import Plan
from store.projection.writer import Writer
from store.proof.dump import dump
from tests.support.reports import failed
from tests.support.stores import MAPS, apply, batch_of, memory_store
from tieout.simulator import ingest_lines, simulate


@pytest.mark.requirement("R70", "R72")
def test_a_writer_that_does_not_publish_writes_the_same_rows_and_nothing_to_publish() -> None:
    events = [json.loads(line) for line in ingest_lines(simulate("small", 1).events)]
    events.append(failed(1))
    stores = [memory_store(), memory_store()]
    plans: list[Plan] = []
    for store, publishes in zip(stores, (True, False), strict=True):
        plans.append(apply(Writer(store, MAPS, publishes=publishes), batch_of(events)))
    assert plans[0].outgoing
    assert not plans[1].outgoing
    one, other = (list(dump(store)) for store in stores)
    assert one == other
