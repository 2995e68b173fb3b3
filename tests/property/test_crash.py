"""A writer may die between any two statements: the store then has the state before the batch or after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from engine.errors import LeaseLost
from store.projection.writer import Writer
from tests.support.histories import deliveries, histories
from tests.support.stores import MAPS, Event, apply, batch_of, canonical, memory_store, project, sizes

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class PowerCut(Exception):
    """Raised in place of a statement."""


@contextmanager
def dying_at(engine: Engine, statement: int) -> Iterator[list[int]]:
    """Let the given statement and all after it fail; counts those that were begun."""
    begun = [0]

    def count(*_: Any) -> None:
        begun[0] += 1
        if begun[0] > statement:
            raise PowerCut

    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count)
    try:
        yield begun
    finally:
        event.remove(engine, "before_cursor_execute", count)
        event.remove(engine, "commit", count)


@st.composite
def interrupted(draw: st.DrawFn) -> tuple[list[Event], list[Event], list[int], list[int]]:
    """A history, its delivery, batch sizes, and for some batches the statement at which the writer dies."""
    events = draw(histories(max_documents=2))
    return (
        events,
        draw(deliveries(events)),
        draw(st.lists(st.integers(1, 30), min_size=1, max_size=3)),
        draw(st.lists(st.integers(0, 40), min_size=1, max_size=8)),
    )


@pytest.mark.requirement("R11", "R71")
@SLOW
@given(interrupted(), st.booleans())
def test_a_crash_between_any_two_statements_changes_nothing(
    case: tuple[list[Event], list[Event], list[int], list[int]], restarted: bool
) -> None:
    """With and without a restart: neither the store nor the memory of the writer may keep half a batch."""
    events, arrived, cuts, deaths = case
    engine = memory_store()
    writer = Writer(engine, MAPS)
    follows = 0
    for number, piece in enumerate(sizes(arrived, cuts)):
        batch = batch_of(piece, "changes", follows)
        if number < len(deaths):
            try:
                with dying_at(engine, deaths[number]):
                    apply(writer, batch)
            except PowerCut:
                if restarted:
                    writer = Writer(engine, MAPS)
        if writer.offsets().get(("changes", 0), 0) == follows:
            apply(writer, batch)
        follows += len(piece)
    while writer.recompute():
        pass
    assert canonical(engine) == canonical(project(events))


@pytest.mark.requirement("R11")
@SLOW
@given(histories(max_documents=3), st.data())
def test_a_history_split_over_two_logs_gives_the_same_store(events: list[Event], data: st.DataObject) -> None:
    arrived = data.draw(deliveries(events))
    sides = data.draw(st.lists(st.booleans(), min_size=len(arrived), max_size=len(arrived)))
    logs = {
        "one": [item for item, side in zip(arrived, sides, strict=True) if side],
        "other": [item for item, side in zip(arrived, sides, strict=True) if not side],
    }
    engine = memory_store()
    writer = Writer(engine, MAPS)
    places = {"one": 0, "other": 0}
    while any(places[name] < len(log) for name, log in logs.items()):
        name = data.draw(st.sampled_from([name for name in logs if places[name] < len(logs[name])]))
        piece: Sequence[Event] = logs[name][places[name] : places[name] + data.draw(st.integers(1, 50))]
        apply(writer, batch_of(piece, name, places[name]))
        places[name] += len(piece)
    while writer.recompute():
        pass
    assert canonical(engine) == canonical(project(events))


@pytest.mark.requirement("R71")
def test_a_writer_that_was_overtaken_writes_nothing() -> None:
    engine = memory_store()
    late, early = Writer(engine, MAPS), Writer(engine, MAPS)
    row = {"entity": "TrvExpTrans", "id": "5637144576", "operation": "upsert", "columns": {"ApprovalStatus": 6}}
    value = {"specversion": "1.0", "id": "1", "source": "/finance/x", "type": "tieout.row.changed", "data": row}
    events = [{"topic": "t", "value": {**value, "time": "2025-01-08T09:00:00Z"}}]
    apply(early, batch_of(events, "t", 0))
    before = canonical(engine)
    with pytest.raises(LeaseLost, match=r"t/0: this worker continues at 0, but the store is at 1"):
        apply(late, batch_of(events, "t", 0))
    assert canonical(engine) == before
