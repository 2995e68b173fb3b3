"""The state of each subject on the errors topic equals the one in the store, and is published once (R58)."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete

from engine.errorlog.lifecycle import Deletion
from store.projection.outgoing import Outgoing
from store.projection.writer import Writer
from store.proof.swap import swap_in
from store.schema import tables
from tests.support.reports import at, deleted, failed, ran, report, state_of, states_in_store, states_on_topic
from tests.support.stores import MAPS, Event, apply, batch_of, memory_store

DAY = 24
KEY = "USPM/integration-journal-posting/J-1"


class Topic:
    """A store, its clock, and what was published."""

    def __init__(self, *, publishes: bool = True) -> None:
        self.now = 10.0
        self.engine = memory_store()
        self.writer = self.opened(publishes=publishes)
        self.sent = 0

    def opened(self, *, publishes: bool = True) -> Writer:
        return Writer(self.engine, MAPS, publishes=publishes, clock=lambda: at(self.now))

    def apply(self, *events: Event, deletions: Iterable[Deletion] = ()) -> list[tuple[str, str | None]]:
        batch = batch_of(events)
        batch.deletions += deletions
        apply(self.writer, batch)
        return self.told()

    def tell(self, hours: float) -> list[tuple[str, str | None]]:
        self.now = hours
        self.writer.publish_error_states()
        return self.told()

    def told(self) -> list[tuple[str, str | None]]:
        """What was published since the last look: key and state."""
        new = [record for number, record in self.records() if number > self.sent]
        self.sent += len(new)
        return [(record.key.decode(), state_of(record)) for record in new]

    def records(self) -> list[tuple[int, Outgoing]]:
        with self.engine.connect() as connection:
            rows = connection.execute(tables.outbox.select().order_by(tables.outbox.c.id)).all()
        return [(row.id, Outgoing(row.topic, row.key, row.value)) for row in rows if row.topic == "errors"]

    def last(self) -> dict[str, Any]:
        _, record = self.records()[-1]
        assert record.value is not None
        value: dict[str, Any] = msgspec.json.decode(record.value)
        return value

    def agrees(self) -> bool:
        return states_on_topic(self.engine) == states_in_store(self.engine, at(self.now))


@pytest.mark.requirement("R58")
def test_a_new_error_is_current_and_a_later_run_that_takes_it_up_closes_it() -> None:
    topic = Topic()
    assert topic.apply(failed(1)) == [(KEY, "current")]
    start, end = ran(2, 3, "r2", "J-1")
    assert topic.apply(start) == [(KEY, "history")]
    assert topic.last()["taken_up"] == {"run": "r2", "started": "2025-01-06T10:00:00Z"}
    assert topic.apply(end) == []
    assert topic.apply(failed(4)) == [(KEY, "current")]
    assert topic.agrees()


@pytest.mark.requirement("R58")
def test_what_comes_twice_or_concerns_others_is_not_published_again() -> None:
    topic = Topic()
    events = [failed(1), *ran(2, 3, "r2", "J-2"), *ran(2, 3, "r3", "J-1", company="GBPM")]
    assert topic.apply(*events) == [(KEY, "current")]
    assert topic.apply(*events) == []
    gone = deleted(5, 1)
    assert topic.apply(deletions=[gone]) == [(KEY, "deleted")]
    assert topic.apply(deletions=[gone]) == []
    assert topic.tell(100) == []


@pytest.mark.requirement("R58")
def test_a_deletion_says_who_when_and_why() -> None:
    topic = Topic()
    topic.apply(failed(1))
    topic.apply(deletions=[deleted(5, 1)])
    assert topic.last()["deleted"] == {"at": "2025-01-06T13:00:00Z", "who": "ann", "why": "posted by hand"}
    assert topic.last()["text"] == "It failed."
    assert topic.agrees()


@pytest.mark.requirement("R58", "R54")
def test_a_run_that_dies_brings_its_errors_back_when_the_worker_looks() -> None:
    topic = Topic()
    topic.apply(failed(1), *ran(2, None, "r2", "J-1"))
    assert topic.tell(2 + DAY) == []
    assert topic.tell(2 + DAY + 1) == [(KEY, "interrupted")]
    assert topic.last()["interrupted"] == {"run": "r2", "started": "2025-01-06T10:00:00Z"}
    assert topic.tell(2 + DAY + 2) == []
    assert topic.apply(report(40, "finished", "r2")) == [(KEY, "history")]
    assert topic.agrees()


@pytest.mark.requirement("R58")
@pytest.mark.parametrize("company", ["USPM", None])
def test_the_end_of_a_run_that_names_no_company_counts(company: str | None) -> None:
    topic = Topic()
    topic.apply(failed(1), *ran(2, None, "r2", "J-1"))
    topic.tell(100)
    assert topic.apply(report(99, "failed", "r2", company=company)) == [(KEY, "history")]


@pytest.mark.requirement("R58")
def test_every_error_is_published_and_the_most_recent_of_its_subject_last() -> None:
    topic = Topic()
    assert topic.apply(failed(2, text="two"), failed(3, text="three")) == [(KEY, "history"), (KEY, "current")]
    assert topic.last()["text"] == "three"
    assert topic.apply(failed(1, text="late")) == [(KEY, "history"), (KEY, "current")]
    assert topic.last()["text"] == "three"


@pytest.mark.requirement("R58")
def test_a_name_in_two_companies_or_processes_is_two_subjects_and_a_text_without_a_name_one() -> None:
    topic = Topic()
    texts = [failed(1, None, text=text) for text in ("One.", "Two.")]
    told = topic.apply(failed(1), failed(1, company="GBPM"), failed(1, process="general-journal-sync"), *texts)
    assert len({key for key, _ in told}) == 5
    assert {state for _, state in told} == {"current"}


@pytest.mark.requirement("R58", "R70")
def test_a_rebuild_publishes_nothing() -> None:
    topic = Topic(publishes=False)
    assert topic.apply(failed(1), *ran(2, None, "r2", "J-1")) == []
    assert topic.tell(100) == []


@pytest.mark.requirement("R58", "R74")
def test_a_store_of_an_earlier_version_publishes_each_state_once() -> None:
    topic = Topic()
    topic.apply(failed(1), failed(2, "J-2"), *ran(3, 4, "r2", "J-2"))
    with topic.engine.begin() as connection:
        connection.execute(delete(tables.error_states))
    topic.writer = topic.opened()
    assert sorted(topic.tell(11)) == [(KEY, "current"), (KEY.replace("J-1", "J-2"), "history")]
    assert topic.tell(12) == []


@pytest.mark.requirement("R58", "R70")
def test_what_a_replay_changes_is_published_by_the_next_worker() -> None:
    topic = Topic()
    gone, kept = failed(1, "J-9"), failed(1)
    topic.apply(gone, kept, failed(1, "J-2"))
    rebuilt = memory_store()
    apply(Writer(rebuilt, MAPS, publishes=False), batch_of([kept, *ran(2, 3, "r2", "J-1")]))
    with topic.engine.begin() as using, rebuilt.connect() as other:
        swap_in(using, using, other, lambda: None)
    topic.told()
    topic.writer = topic.opened()
    found = topic.tell(11)
    assert (KEY, "history") in found
    assert (KEY.replace("J-1", "J-9"), None) in found
    assert topic.tell(12) == []


@pytest.mark.requirement("R58", "R55")
def test_what_is_purged_keeps_its_last_state_on_the_topic() -> None:
    topic = Topic()
    topic.apply(failed(1), *ran(2, 3, "r2", "J-1"), *ran(4, 5, "r3", "J-1"))
    while topic.writer.purge(at(1_000)):
        pass
    assert topic.tell(1_001) == []
    assert topic.apply(failed(1_002)) == [(KEY, "current")]
