"""General journals as a handler reads them in both systems, and the requests after an entry is deleted."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from engine.errors import QueryError
from engine.sync.attempts import Request
from engine.sync.commands import DeleteError
from engine.sync.general_journals import task_of
from handlers.change_events import process_event
from streams.embedded.log import EmbeddedLog
from tests.support.journaling import JOURNAL, NUMBER, JournalDesk
from tieout.bootstrap import load_maps, open_log
from tieout.settings import Settings
from tieout.simulator.pair import general_journals
from tieout.sync import command_topic
from tieout.sync.command_topic import TopicWriter
from tieout.sync.general_journals import column_names


@pytest.mark.requirement("R60")
def test_two_companies_that_use_a_number_do_not_get_each_others_lines() -> None:
    desk = JournalDesk(companies=None)
    own = general_journals.JOURNALS[-1]
    general_journals.add_journal(desk.site.pair.feed, replace(own, number=NUMBER))
    desk.runs(2)
    # The pair has a key on the description, so that the second one finds no place.
    (waits,) = desk.statuses().values()
    assert "does not return the rows that were just written" in waits.reason
    count, lines, confirmed = desk.journal_in_dataverse()
    assert (count, confirmed) == (1, True)
    assert not {"5431130/cost", "5431139/cost"} <= set(lines)


@pytest.mark.requirement("R63")
def test_a_number_that_two_companies_use_is_closed_for_the_one_whose_lines_are_confirmed() -> None:
    desk = JournalDesk(companies=None)
    desk.run()
    general_journals.add_journal(desk.site.pair.feed, replace(general_journals.JOURNALS[-1], number=NUMBER))
    desk.run()
    assert desk.counter().state == "done"
    assert desk.counter("GBPM/USPM-000095").state == "waiting"


def test_a_journal_without_its_project_tab_is_not_taken_for_one_without_project_lines() -> None:
    desk = JournalDesk()
    parts = desk.site.pair.tables["LedgerJournalTrans_Project"].rows
    del parts[next(row.id for row in parts.values() if row.text("RefRecId") == "5431130")]
    desk.run()
    assert "no LedgerJournalTrans_Project of line 5431130" in desk.statuses()[NUMBER].reason


def test_what_is_found_by_a_column_is_found_by_the_one_that_maps_and_settings_name(tmp_path: Path) -> None:
    own = tmp_path / "contoso.toml"
    own.write_text(
        'schema = 1\nversion = "1"\nsource = "dataverse"\n\n'
        '[entities.msdyn_project]\ncolumns.number = "contoso_projectnumber"\n'
    )
    settings = Settings(maps=(str(own),), journals_contract_line="ContractLine=contoso_number")
    names = column_names(load_maps(settings), settings)
    assert (names.project, names.currency) == ("contoso_projectnumber", "isocurrencycode")
    assert (names.contract_line, names.contract_line_name) == ("ContractLine", "contoso_number")


# --- deleting ---------------------------------------------------------------------------------------------------------

DELETED = DeleteError(
    id="d1",
    at="2025-01-08T19:00:00Z",
    who="anna",
    why="mended",
    company="USPM",
    process="general-journal-sync",
    subject=NUMBER,
    until="2025-01-08T18:00:00Z",
)


@pytest.mark.requirement("R62")
def test_who_deletes_an_entry_of_a_general_journal_asks_for_a_new_round() -> None:
    retry = DELETED.retry
    assert retry == Request(
        id="d1",
        at=1_736_362_800_000_000,
        who="anna",
        by_person=True,
        tasks=(task_of("USPM", NUMBER),),
        input_fingerprints={},
    )
    assert retry.tasks[0].documents == (JOURNAL,)


@pytest.mark.requirement("R62")
@pytest.mark.parametrize(
    "changes",
    [
        {"process": "integration-journal-posting"},
        {"company": None},
        {"subject": "Failed to confirm journal 5541230 in Dataverse."},
    ],
)
def test_deleting_anything_else_asks_for_nothing(changes: dict[str, str | None]) -> None:
    assert msgspec.structs.replace(DELETED, **changes).retry is None


# --- the way out ------------------------------------------------------------------------------------------------------

EVENTS = [process_event("contoso.example.com", "e1", "started", "2025-01-08T18:00:00Z", {"process": "x", "run": "r1"})]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(broker=f"embedded:///{tmp_path / 'log.sqlite'}", store=f"sqlite:///{tmp_path / 'store.sqlite'}")


def test_what_is_reported_while_the_worker_opens_its_log_waits_for_it(settings: Settings) -> None:
    topic_writer = TopicWriter(settings)
    with topic_writer.expect_worker(), open_log(settings, write=True) as log:
        reporting = threading.Thread(target=topic_writer.report, args=[EVENTS])
        reporting.start()
        time.sleep(0.05)
        with topic_writer.lend_log(log):
            reporting.join(10)
        (record,) = log.read("tieout.finance.changes", 0, 0, 10, 10_000)
    assert record.value == EVENTS[0].value


def test_what_cannot_wait_any_longer_says_so_and_leaves_the_log_to_the_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_topic, "PATIENCE_SECONDS", 0.01)
    topic_writer = TopicWriter(settings)
    with topic_writer.expect_worker():
        with pytest.raises(QueryError, match="has not opened the log yet"):
            topic_writer.report(EVENTS)
        EmbeddedLog.open(settings.log_file or Path(), "write").close()
