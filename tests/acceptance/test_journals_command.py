"""`tieout journals` against the served pair, as docs/journals.md describes it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commandline import Tieout, typist
from tests.support.pairs import Served
from tieout.settings import load
from tieout.sync.command_topic import TopicWriter
from tieout.worker.handling import handling

JOURNAL = "USPM/USPM-000095"


@pytest.fixture
def tieout(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tieout:
    """A command in a folder of its own, with the settings that reach the pair."""
    here = {"TIEOUT_COMPANIES": "USPM", "TIEOUT_PROCESS_JOURNAL": "contoso_ConfirmJournal", "TIEOUT_OUTGOING": "true"}
    run = typist(tmp_path, {**served.settings(), **here, "TIEOUT_JOURNALS_EVERY": "1"}, monkeypatch, capfd)
    assert run("run", "--role", "project", "--until-caught-up").code == 0
    return run


def work(tieout: Tieout) -> None:
    """See to all that is due, and what is due in the seconds after."""
    assert tieout("run", "--role", "project", "--role", "handle", "--until-caught-up").code == 0


@pytest.mark.requirement("R60", "R62")
def test_a_journal_is_brought_to_dataverse_from_the_command_line(tieout: Tieout, served: Served) -> None:
    assert "All general journals are synced" in tieout("journals").out
    asked = tieout("journals", "sync", JOURNAL, "--yes", "--no-wait")
    assert (asked.code, "A new attempt cycle starts for 1 journal" in asked.err) == (0, True)
    (before,) = tieout("journals", "--json").lines
    assert (before["state"], before["count"], before["retry"]) == ("waiting", 0, f"tieout journals sync {JOURNAL}")
    work(tieout)
    assert tieout("journals", "--json").out == ""
    (after,) = tieout("journals", "--all", "--json").lines
    assert (after["state"], after["count"], after["outcome"]) == ("through", 1, "succeeded")
    assert "All of them are synced." in tieout("journals", "--all").out
    (journal,) = served.pair.tables["msdyn_journal"].rows.values()
    assert journal.columns["msdyn_isposted"] is True


@pytest.mark.requirement("R61", "R62")
def test_what_fails_five_times_is_in_the_log_waits_and_goes_when_it_is_mended_and_synced(
    tieout: Tieout, served: Served
) -> None:
    served.pair.refusals["msdyn_journalline"] = "The project is closed for new transactions."
    tieout("journals", "sync", JOURNAL, "--yes", "--no-wait")
    work(tieout)
    (error,) = tieout("errors", "--json").lines
    assert (error["code"], error["subject"], error["count"]) == ("GJ_LINE", "USPM-000095", 5)
    assert error["parameters"] == {"limit": "5", "count": "5"}
    assert error["text"] == "Failed to sync journal line to Dataverse. Manual synch required at count 5. Count 5."
    listed = tieout("journals").out
    assert "needs attention" in listed
    assert "5 of 5" in listed
    assert "closed for new transactions" in listed
    assert "start a new attempt cycle, run `tieout journals sync`, or delete" in listed
    served.pair.refusals.clear()
    assert tieout("journals", "sync", "USPM-000095", "--yes", "--no-wait").code == 0
    work(tieout)
    assert (tieout("journals", "--json").out, tieout("errors", "--json").out) == ("", "")
    assert {error["standing"] for error in tieout("errors", "--history", "--json").lines} == {"history"}


@pytest.mark.requirement("R62")
def test_deleting_the_entry_says_that_it_begins_a_new_round_and_does(tieout: Tieout, served: Served) -> None:
    served.pair.refusals["msdyn_journal"] = "no"
    tieout("journals", "sync", JOURNAL, "--yes", "--no-wait")
    work(tieout)
    served.pair.refusals.clear()
    deleted = tieout("errors", "delete", "--code", "GJ_HEADER", "--why", "mended", "--yes")
    assert "A new attempt cycle starts for 1 general journal." in deleted.err
    assert "starts a new attempt cycle" in " ".join(tieout("errors", "delete", "--help").out.split())
    assert "Deleting an error of a journal" in " ".join(tieout("journals", "sync", "--help").out.split())
    (waiting,) = tieout("journals", "--json").lines
    assert (waiting["state"], waiting["count"], waiting["round"]) == ("waiting", 0, 2)
    work(tieout)
    assert tieout("journals", "--json").out == ""


def test_a_journal_that_nobody_knows_needs_its_company(tieout: Tieout) -> None:
    unknown = tieout("journals", "sync", "USPM-000095", "--yes", "--no-wait")
    assert (unknown.code, "Write COMPANY/NUMBER" in unknown.err) == (1, True)
    assert tieout("journals", "sync", "USPM-000095", "--company", "uspm", "--yes", "--no-wait").code == 0
    assert [one["company"] for one in tieout("journals", "--json").lines] == ["USPM"]
    assert tieout("journals", "sync").code == 2
    assert tieout("journals", "sync", "USPM-000095", "--all").code == 2


def test_all_that_are_not_through_are_synced_together(tieout: Tieout, served: Served) -> None:
    assert "are synced" in tieout("journals", "sync", "--all").err
    served.pair.refusals["contoso_ConfirmJournal"] = "no"
    tieout("journals", "sync", JOURNAL, "USPM/USPM-000096", "--yes", "--no-wait")
    work(tieout)
    served.pair.refusals.clear()
    assert tieout("journals", "sync", "--all", "--yes", "--no-wait").code == 0
    work(tieout)
    assert [one["round"] for one in tieout("journals", "--all", "--json").lines] == [2, 2]


@pytest.mark.requirement("R49")
def test_nothing_is_asked_for_where_nothing_would_be_done(tieout: Tieout) -> None:
    off = tieout("journals", "sync", JOURNAL, "--yes", outgoing="false")
    assert (off.code, "TIEOUT_OUTGOING=true" in off.err) == (1, True)
    unnamed = tieout("journals", "sync", JOURNAL, "--yes", outgoing="true", process_journal="")
    assert (unnamed.code, "TIEOUT_PROCESS_JOURNAL" in unnamed.err) == (1, True)


@contextmanager
def worker() -> Iterator[None]:
    """A handler in this process."""
    settings, stop = load(), threading.Event()
    with handling(settings, stop, TopicWriter(settings)):
        yield
        stop.set()


@pytest.mark.requirement("R60")
def test_a_worker_takes_unsynced_journals_by_itself(tieout: Tieout, served: Served) -> None:
    with worker():
        deadline = time.monotonic() + 60
        rows = served.pair.tables["msdyn_journal"].rows
        while (
            time.monotonic() < deadline and sum(row.columns.get("msdyn_isposted") is True for row in rows.values()) < 2
        ):
            time.sleep(0.1)
    assert {one["journal"] for one in tieout("journals", "--all", "--json").lines} == {"USPM-000095", "USPM-000096"}
    assert tieout("errors", "--history", "--json").out == ""


@pytest.mark.requirement("R62")
def test_who_waits_sees_how_the_first_attempt_ended(tieout: Tieout, served: Served) -> None:
    served.pair.refusals["msdyn_journal"] = "a privilege is missing"
    assert tieout("journals", journals_every="300").code == 0
    with worker():
        failed = tieout("journals", "sync", JOURNAL, "--yes", "--json")
        assert (failed.code, [one["step"] for one in failed.lines]) == (1, ["header"])
        served.pair.refusals.clear()
        done = tieout("journals", "sync", "USPM-000095", "--yes")
        assert (done.code, "All of them are synced." in done.out) == (0, True)


@pytest.mark.parametrize(("setting", "value"), [("every", "-1"), ("every", "often"), ("contract_line", "column")])
def test_a_setting_that_cannot_be_meant_is_named(tieout: Tieout, setting: str, value: str) -> None:
    refused = tieout("journals", **{f"journals_{setting}": value})
    assert (refused.code, f"TIEOUT_JOURNALS_{setting.upper()}" in refused.err) == (1, True)
