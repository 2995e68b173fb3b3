"""The error log against a simple model: a table that is changed in the order of events, as in Finance (R53-R55).

The log receives the same events in any order, some of them twice, and must have the same content.
"""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import Engine

from engine.errorlog.lifecycle import Deletion
from store.errorlog.error_log import ErrorQuery, entries
from store.projection.writer import Writer
from tests.support.reports import IMPORT, POSTING, at, deleted, failed, ran, report, states_in_store, states_on_topic
from tests.support.stores import MAPS, Event, apply, batch_of, memory_store, sizes

DIES_AFTER = 24
KEPT_FOR = 48
OPEN = ("current", "interrupted")
PROCESSES = st.sampled_from([IMPORT, POSTING])
# Mostly one company, or hardly anything would meet.
COMPANIES = st.sampled_from(["USPM"] * 7 + ["GBPM"])
SUBJECTS = ("J-1", "J-2", "J-3", "J-4")


@dataclass
class Run:
    name: str
    process: str
    company: str
    heard: float
    ended: bool = False


@dataclass
class Row:
    """An error, and the runs that took it up."""

    process: str
    company: str
    subject: str
    text: str
    at: float
    covered: bool = False
    """A later error of its subject came."""
    deleted: bool = False
    taken: list[Run] = field(default_factory=list)


class ErrorLog(RuleBasedStateMachine):
    """Things happen one after the other, an hour or more apart."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.events: list[Event] = []
        self.deletions: list[Deletion] = []
        self.rows: list[Row] = []
        self.runs: list[Run] = []

    def later(self, hours: float = 1) -> float:
        self.now += hours
        return self.now

    @rule(process=PROCESSES, company=COMPANIES, scope=st.sets(st.sampled_from(SUBJECTS)))
    def start(self, process: str, company: str, scope: set[str]) -> None:
        run = Run(f"run-{len(self.runs)}", process, company, self.later())
        self.runs.append(run)
        self.events += ran(self.now, None, run.name, *sorted(scope), process=process, company=company)
        for row in self.rows:
            mine = (row.process, row.company) == (process, company)
            if mine and (not scope or row.subject in scope):
                row.taken.append(run)

    @precondition(lambda self: any(not run.ended for run in self.runs))
    @rule(data=st.data(), stage=st.sampled_from(["finished", "failed"]))
    def end(self, data: st.DataObject, stage: str) -> None:
        run = data.draw(st.sampled_from([run for run in self.runs if not run.ended]))
        run.ended, run.heard = True, self.later()
        self.events.append(report(self.now, stage, run.name, process=run.process, company=run.company))

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), subject=st.sampled_from(SUBJECTS))
    def say(self, data: st.DataObject, subject: str) -> None:
        run = data.draw(st.sampled_from(self.runs))
        run.heard = self.later()
        text = f"Error {len(self.rows)}."
        self.events.append(failed(self.now, subject, run.name, text, process=run.process, company=run.company))
        for row in self.rows:
            row.covered |= (row.process, row.company, row.subject) == (run.process, run.company, subject)
        self.rows.append(Row(run.process, run.company, subject, text, self.now))

    @precondition(lambda self: len(self.rows) > 4 * len(self.deletions))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """A person saw this error as the last one of its subject, even if others came meanwhile."""
        number = data.draw(st.integers(0, len(self.rows) - 1))
        seen = self.rows[number]
        self.deletions.append(deleted(self.later(), seen.at, seen.subject, seen.process, company=seen.company))
        for row in self.rows[: number + 1]:
            row.deleted |= (row.process, row.company, row.subject) == (seen.process, seen.company, seen.subject)

    @rule(hours=st.integers(12, 30))
    def time_passes(self, hours: int) -> None:
        self.later(hours)

    def current(self) -> set[str]:
        """What the table has as current."""
        return {
            row.text
            for row in self.rows
            if not row.covered
            and not row.deleted
            and all(not run.ended and self.now - run.heard > DIES_AFTER for run in row.taken)
        }

    def teardown(self) -> None:
        if self.rows:
            self.look(len(self.events), [7])

    def finished(self, old: set[str | None]) -> set[str]:
        """Those of the old errors that nothing can bring back."""
        return {
            row.text
            for row in self.rows
            if row.text in old and (row.covered or row.deleted or any(run.ended for run in row.taken))
        }

    def published(self, engine: Engine) -> None:
        """The last value of each key on the errors topic equals the state in the store, whatever the clock was when the
        events arrived; a second evaluation publishes nothing.
        """
        writer = Writer(engine, MAPS, clock=lambda: at(self.now))
        writer.publish_error_states()
        told, known = states_on_topic(engine), states_in_store(engine, at(self.now))
        # If several runs processed the subject of an error again, the one that was received first is reported.
        for state in (*told.values(), *known.values()):
            state["taken_up"] = state["taken_up"] is not None
        assert told == known
        assert {error["text"] for error in told.values() if error["state"] in OPEN} == self.current()
        numbers = len(writer.outbox_records(1_000_000))
        writer.publish_error_states()
        assert len(writer.outbox_records(1_000_000)) == numbers

    @precondition(lambda self: len(self.rows) > 3)
    @rule(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(1, 20), min_size=1, max_size=3))
    def look(self, seed: int, cuts: list[int]) -> None:
        """The log equals the table for any order and batches of the events, also while history of more than two days is
        purged repeatedly.
        """
        chance = Random(seed)
        before = at(self.now - KEPT_FOR)
        events = [*self.events, *chance.choices(self.events, k=len(self.events) // 3)]
        chance.shuffle(events)
        engine = memory_store()
        now = at(self.now)
        writer = Writer(engine, MAPS, clock=lambda: chance.randint(0, now))
        purged = memory_store()
        purging = Writer(purged, MAPS)
        for number, piece in enumerate(sizes(events, cuts)):
            batch = batch_of(piece)
            batch.deletions += self.deletions if number == 0 else []
            apply(writer, batch)
            apply(purging, batch)
            purging.purge(before)
        while purging.purge(before):
            pass
        self.published(engine)
        with purged.connect() as connection:
            kept = list(entries(connection, ErrorQuery(history=True), now))
            assert {entry.message.text for entry in kept if entry.current} == self.current()
            young = {row.text for row in self.rows if at(row.at) >= before}
            assert {entry.message.text for entry in kept} >= young | self.current()
        with engine.connect() as connection:
            current = list(entries(connection, ErrorQuery(), now))
            every = list(entries(connection, ErrorQuery(history=True), now))
        old = {entry.message.text for entry in every if not entry.current and entry.message.evidence.at < before}
        assert {entry.message.text for entry in kept} <= {row.text for row in self.rows} - self.finished(old)
        assert {entry.message.text for entry in current} == self.current()
        assert {entry.message.text for entry in every} == {row.text for row in self.rows}
        assert {entry.message.text for entry in every if entry.current} == self.current()
        assert [entry.message.evidence.at for entry in every] == sorted(
            (entry.message.evidence.at for entry in every), reverse=True
        )


TestErrorLog = pytest.mark.requirement("R53", "R54", "R55", "R58")(ErrorLog.TestCase)
TestErrorLog.settings = settings(deadline=None, stateful_step_count=60)
