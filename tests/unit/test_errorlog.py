"""The life of an error: current, taken up by a later run, interrupted, deleted (R53-R55)."""

import pytest
from sqlalchemy import func, select

from engine.errorlog.lifecycle import INTERRUPTED_AFTER, Deletion
from engine.events.facts import PROCESSES
from store.errorlog.error_log import ErrorEntry, ErrorQuery, entries
from store.projection.writer import Writer
from store.schema import tables
from tests.support.reports import IMPORT, at, deleted, failed, log_of, ran, report
from tests.support.stores import MAPS, Event, apply, batch_of, memory_store

DAY = 24


def subjects(entries: list[ErrorEntry]) -> list[str | None]:
    return [entry.message.subject for entry in entries]


@pytest.mark.requirement("R53")
def test_the_most_recent_error_of_a_subject_is_current_and_counts_those_before_it() -> None:
    events = [failed(1), failed(3, text="Again."), failed(2), failed(2, "J-2")]
    newest, other = log_of(events, 4)
    assert (newest.message.text, newest.count, newest.first_seen, newest.last_seen) == ("Again.", 3, at(1), at(3))
    assert (other.message.subject, other.count) == ("J-2", 1)


@pytest.mark.requirement("R53")
def test_every_error_stays_in_the_history_with_where_it_stands() -> None:
    events = [failed(1), failed(2), failed(3, "J-2"), *ran(4, 5, "r2", "J-2")]
    told = [(entry.message.subject, entry.status.state) for entry in log_of(events, 6, history=True)]
    assert told == [("J-2", "history"), ("J-1", "current"), ("J-1", "history")]


@pytest.mark.requirement("R53")
def test_an_error_that_names_no_subject_is_about_its_own_text() -> None:
    events = [failed(1, None, text="One."), failed(2, None, text="Two."), failed(3, None, text="One.")]
    assert [(entry.message.text, entry.count) for entry in log_of(events, 4)] == [("One.", 2), ("Two.", 1)]


LINE = (
    "Integration journal (J-1): Line with RecId (68719478042) and Voucher (V-1) failed to post due to (it does not "
    "balance)."
)


@pytest.mark.requirement("R50")
@pytest.mark.parametrize("process", PROCESSES)
def test_an_error_of_each_process_is_kept_with_its_whole_text(process: str) -> None:
    text = "Zeile 1\n\tZeile 2: „Fehler“ " + 20_000 * "x"
    (entry,) = log_of([failed(1, text=text, process=process)], 2)
    assert (entry.message.process, entry.message.text) == (process, text)
    assert entry.as_json()["text"] == text


SCOPES: list[tuple[str, Event, list[Event], bool]] = [
    ("the journal that the run names", failed(1), ran(2, 3, "r2", "J-2", "J-1"), False),
    ("another journal", failed(1), ran(2, 3, "r2", "J-2"), True),
    ("a run that names nothing works on the company", failed(1), ran(2, 3, "r2"), False),
    ("another company", failed(1), ran(2, 3, "r2", "J-1", company="GBPM"), True),
    ("another process", failed(1), ran(2, 3, "r2", "J-1", process="general-journal-sync"), True),
    ("a run that began before the error", failed(1), ran(0, 3, "r2", "J-1"), True),
    ("a run that began at the same time", failed(1), ran(1, 3, "r2", "J-1"), True),
    ("the run that reported it", failed(1), ran(2, 3, "r1", "J-1"), True),
    ("a run that is still at work", failed(1), ran(2, None, "r2", "J-1"), False),
    (
        "an import takes up all of its company",
        failed(1, "PI-1", process=IMPORT),
        ran(2, 3, "r2", process=IMPORT),
        False,
    ),
    ("an import of another project", failed(1, "P-1", process=IMPORT), ran(2, 3, "r2", "P-2", process=IMPORT), True),
    (
        "an import of its project",
        failed(1, "P-1", process=IMPORT),
        ran(2, 3, "r2", "P-2", "P-1", process=IMPORT),
        False,
    ),
    (
        "but not another company",
        failed(1, "PI-1", process=IMPORT),
        ran(2, 3, "r2", process=IMPORT, company="GBPM"),
        True,
    ),
    ("the journal that the text of a line names", failed(1, "68719478042", text=LINE), ran(2, 3, "r2", "J-1"), False),
    ("an error of all its run, taken up in part", failed(1, None, scope=["J-1", "J-2"]), ran(2, 3, "r2", "J-1"), True),
    ("… and taken up whole", failed(1, None, scope=["J-1", "J-2"]), ran(2, 3, "r2", "J-1", "J-2", "J-3"), False),
    ("an error of nothing, by a run that names journals", failed(1, None), ran(2, 3, "r2", "J-1"), True),
    ("… by one that names none", failed(1, None), ran(2, 3, "r2"), False),
]


@pytest.mark.requirement("R54")
@pytest.mark.parametrize(("error", "run", "current"), [case[1:] for case in SCOPES], ids=[case[0] for case in SCOPES])
def test_the_start_of_a_run_moves_the_errors_of_its_scope_to_history(
    error: Event, run: list[Event], current: bool
) -> None:
    assert len(log_of([error, *run], 4)) == current
    assert len(log_of([*run, error], 4)) == current
    assert len(log_of([error, *run], 4, history=True)) == 1


@pytest.mark.requirement("R54")
def test_a_run_that_fails_leaves_its_own_error() -> None:
    events = [failed(1), failed(1, "J-2"), report(2, "started", "r2"), failed(3, run="r2"), report(4, "failed", "r2")]
    (left,) = log_of(events, 5)
    assert (left.message.run, left.count, left.first_seen) == ("r2", 2, at(1))


@pytest.mark.requirement("R54")
def test_a_run_without_an_end_is_interrupted_after_a_day_and_its_errors_return() -> None:
    events = [failed(1), *ran(2, None, "r2", "J-1")]
    assert log_of(events, 2 + DAY) == []
    (back,) = log_of(events, 2 + DAY + 0.01)
    assert back.status.interrupted is not None
    assert (back.status.interrupted.run, back.status.interrupted.started) == ("r2", at(2))
    assert at(DAY) - at(0) == INTERRUPTED_AFTER


@pytest.mark.requirement("R54")
def test_a_run_that_still_speaks_is_not_interrupted() -> None:
    events = [failed(1), *ran(2, None, "r2", "J-1", "J-2"), failed(20, "J-2", run="r2")]
    assert subjects(log_of(events, 2 + DAY + 1)) == ["J-2"]
    assert subjects(log_of(events, 20 + DAY + 1)) == ["J-2", "J-1"]


@pytest.mark.requirement("R54")
@pytest.mark.parametrize(
    ("runs", "current"),
    [
        ([*ran(2, None, "r2", "J-1"), *ran(3, 4, "r3", "J-1")], False),
        ([*ran(2, 3, "r2", "J-1"), *ran(4, None, "r3", "J-1")], False),
        ([*ran(2, None, "r2", "J-1"), *ran(3, None, "r3", "J-1")], True),
        ([*ran(2, 100, "r2", "J-1")], False),
        ([*ran(2, None, "r2", "J-1"), report(3, "failed", "r2", company=None)], False),
        ([*ran(2, None, "r2", "J-1"), report(3, "failed", "r2", company="GBPM")], True),
    ],
    ids=[
        "a later run took it up",
        "an earlier run took it up",
        "both died",
        "it ends after all",
        "an end without a company",
        "an end in another company",
    ],
)
def test_an_error_returns_only_when_every_run_that_took_it_up_died(runs: list[Event], current: bool) -> None:
    assert len(log_of([failed(1), *runs], 100)) == current


@pytest.mark.requirement("R55")
def test_a_deleted_error_leaves_the_current_list_and_says_who_when_and_why() -> None:
    events = [failed(1), failed(2, "J-2")]
    deletion = deleted(5, 1)
    assert subjects(log_of(events, 6, deletions=[deletion])) == ["J-2"]
    told = log_of(events, 6, deletions=[deletion], history=True, subject="J-1")
    assert [entry.as_json()["deleted"] for entry in told] == [
        {"at": "2025-01-06T13:00:00Z", "who": "ann", "why": "posted by hand"}
    ]


@pytest.mark.requirement("R55")
@pytest.mark.parametrize(
    ("deletion", "current"),
    [
        (deleted(5, 2), 0),
        (deleted(5, 1), 1),
        (deleted(5, 2, "J-2"), 1),
        (deleted(5, 2, company="GBPM"), 1),
        (deleted(5, 2, process=IMPORT), 1),
    ],
    ids=["all there were", "the one before", "another subject", "another company", "another process"],
)
def test_a_deletion_holds_for_the_errors_that_were_seen_and_for_no_other(deletion: Deletion, current: int) -> None:
    assert len(log_of([failed(1), failed(2)], 6, deletions=[deletion])) == current


@pytest.mark.requirement("R55")
def test_a_deleted_error_does_not_return_when_a_run_dies_and_a_new_one_is_current() -> None:
    events = [failed(1), *ran(2, None, "r2", "J-1")]
    assert log_of(events, 100, deletions=[deleted(5, 1)]) == []
    (again,) = log_of([*events, failed(6)], 100, deletions=[deleted(5, 1)])
    assert again.count == 2


@pytest.mark.requirement("R52")
def test_of_many_subjects_the_most_recent_are_listed_first() -> None:
    events = [failed(number / 100, f"J-{number}") for number in range(1_200)]
    ended = ran(20, 21, "r2", *(f"J-{number}" for number in range(400, 1_200)))
    assert subjects(log_of([*events, *ended], 22, limit=3)) == ["J-399", "J-398", "J-397"]
    assert len(log_of([*events, *ended], 22, limit=1_000)) == 400


# --- purging ---------------------------------------------------------------------------------------------------------

OLD_RUN = ran(2, 3, "r2", "J-1")
PURGED: list[tuple[str, list[Event], list[Deletion], int]] = [
    ("a current error", [failed(1)], [], 0),
    ("one that a later one covers", [failed(1), failed(2)], [], 1),
    ("… however late that one came", [failed(1), failed(200)], [], 1),
    ("one that was deleted", [failed(1)], [deleted(200, 1)], 1),
    ("one that a run took up, which still says so", [failed(1), *OLD_RUN], [], 1),
    ("… and that run, once a later one took up the same", [failed(1), *OLD_RUN, *ran(200, 201, "r3", "J-1")], [], 3),
    ("… but not for one of another journal", [failed(1), *OLD_RUN, *ran(200, 201, "r3", "J-2")], [], 1),
    ("… nor for one that has not ended", [failed(1), *OLD_RUN, *ran(200, None, "r3", "J-1")], [], 1),
    ("one that a dead run took up", [failed(1), *ran(2, None, "r2", "J-1")], [], 0),
    ("a young one", [failed(101), failed(102)], [], 0),
    (
        "a run that failed in words, and still does",
        [report(1, "started", "r2"), report(2, "failed", "r2", subject="J-1", text="It failed."), *ran(3, None, "r3")],
        [],
        0,
    ),
    (
        "… and its words once they are history",
        [report(1, "started", "r2"), report(2, "failed", "r2", subject="J-1", text="It failed."), *ran(3, 4, "r3")],
        [],
        2,
    ),
]


@pytest.mark.requirement("R55")
@pytest.mark.parametrize(
    ("events", "deletions", "gone"), [case[1:] for case in PURGED], ids=[case[0] for case in PURGED]
)
def test_history_of_more_than_its_days_is_purged_and_nothing_else(
    events: list[Event], deletions: list[Deletion], gone: int
) -> None:
    engine = memory_store()
    writer = Writer(engine, MAPS)
    batch = batch_of(events)
    batch.deletions += deletions
    apply(writer, batch)
    said = tables.process_messages
    with engine.connect() as connection:
        before = list(entries(connection, ErrorQuery(), at(1_000)))
    assert writer.purge(at(100)) is False
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(said)).scalar_one() == len(events) - gone
        after = list(entries(connection, ErrorQuery(), at(1_000)))
    assert [entry.message for entry in after] == [entry.message for entry in before]


@pytest.mark.requirement("R55")
def test_purging_goes_a_bounded_piece_at_a_time_and_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.projection.writer.PURGE_CHUNK", 7)
    engine = memory_store()
    writer = Writer(engine, MAPS)
    apply(writer, batch_of([failed(number / 10, f"J-{number % 3}") for number in range(50)]))
    pieces = 0
    while writer.purge(at(100)):
        pieces += 1
    with engine.connect() as connection:
        assert len(list(entries(connection, ErrorQuery(history=True), at(100)))) == 3
    assert pieces == 7
