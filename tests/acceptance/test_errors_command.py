"""`tieout errors`: lists, follows, deletes and retries errors of Finance's processes."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commandline import TODAY, Tieout, ended, error_text, ingest_and_project
from tests.support.ingest_lines import json_lines, posted_expense, process_message, row_change, started_run
from tieout.access.identities import local_name


@pytest.mark.requirement("R50", "R51")
def test_errors_are_listed_whole_with_what_they_mean_and_what_to_do(tieout: Tieout) -> None:
    long = "Something nobody has seen before. " * 400
    ingest_and_project(
        tieout,
        json_lines(
            process_message("Failed to confirm journal 5541230 in Dataverse.", "e1"),
            process_message(long, "e2", "2025-01-07T10:00:00Z", "GBPM"),
        ),
    )
    known, unknown = tieout("errors", "--json").lines
    assert (known["code"], known["parameters"]) == ("GJ_CONFIRM", {"journal": "5541230"})
    assert known["details"]
    assert known["resolution"]
    assert (unknown["code"], unknown["text"], unknown["resolution"]) == ("UNKNOWN", long, None)
    assert long.strip() in tieout("errors").out
    assert [error["subject"] for error in tieout("errors", "--company", "gbpm", "--json").lines] == ["e2"]
    assert [error["subject"] for error in tieout("errors", "--from", TODAY, "--json").lines] == ["e1"]
    assert [error["subject"] for error in tieout("errors", "--to", "2025-01-07", "--json").lines] == ["e2"]
    assert "no company 'XX'" in error_text(tieout("errors", "--company", "XX"))


@pytest.mark.requirement("R58")
def test_errors_can_be_followed_as_they_come(tieout: Tieout) -> None:
    ingest_and_project(tieout, json_lines(process_message("first", "e1")))
    command = [sys.executable, "-m", "tieout", "errors", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as followed, ended(followed):
        assert followed.stdout is not None
        assert json.loads(followed.stdout.readline())["text"] == "first"
        ingest_and_project(
            tieout, json_lines(process_message("other company", "e2", company="GBPM"), process_message("second", "e3"))
        )
        assert [json.loads(followed.stdout.readline())["text"] for _ in range(2)] == ["other company", "second"]
        followed.send_signal(signal.SIGINT)
        _, err = followed.communicate(timeout=30)
        assert (followed.returncode, err) == (130, b"")
    assert "has no end date" in tieout("errors", "--follow", "--to", "2025-01-08").err


@pytest.mark.requirement("R58")
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_who_follows_the_errors_sees_what_becomes_of_each(tieout: Tieout, as_json: bool) -> None:
    ingest_and_project(
        tieout,
        json_lines(process_message("first", "e1", subject="J-1"), process_message("second", "e2", subject="J-2")),
    )
    command = [sys.executable, "-m", "tieout", "errors", "--follow", *(["--json"] if as_json else [])]
    followed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with followed:
        assert followed.stdout is not None
        before = [followed.stdout.readline() for _ in range(2 if as_json else 1)]
        assert before[0]
        while not as_json and b"2 current errors" not in before[-1]:
            before.append(followed.stdout.readline())
        ingest_and_project(tieout, json_lines(started_run("run-2", "2025-01-08T11:00:00Z", "J-1")))
        why = ("--subject", "J-2", "--why", "by hand", "--yes")
        assert tieout("errors", "delete", *why).code == 0
        if as_json:
            resolved, gone = (json.loads(followed.stdout.readline()) for _ in range(2))
            assert [json.loads(line)["state"] for line in before] == ["current", "current"]
            assert (resolved["subject"], resolved["state"], resolved["text"]) == ("J-1", "history", "first")
            assert resolved["taken_up"] == {"run": "run-2", "started": "2025-01-08T11:00:00Z"}
            assert (gone["subject"], gone["state"]) == ("J-2", "deleted")
            assert (gone["deleted"]["who"], gone["deleted"]["why"]) == (local_name(), "by hand")
        else:
            shown = ""
            while "by hand" not in shown:
                line = followed.stdout.readline()
                assert line, followed.communicate()
                shown += line.decode()
            assert "History: processed again by run run-2, started 2025-01-08T11:00:00Z\n" in shown
            assert re.search(rf"Deleted 20\S+ by {re.escape(local_name())}: by hand", shown)
        followed.send_signal(signal.SIGINT)
        _, err = followed.communicate(timeout=30)
        assert (followed.returncode, err) == (130, b"")


@pytest.mark.requirement("R51", "R57")
def test_an_error_of_a_closed_period_says_what_the_calendar_knows(demonstrated: Tieout) -> None:
    (error,) = demonstrated("errors", "--code", "NO_OPEN_PERIOD", "--json").lines
    assert error["advice"] == (
        "The period of 2024-02-12, 2024-02-01 to 2024-02-29, is closed. With that parameter on, it is posted on "
        "2024-03-01, the first day of the next open period."
    )
    assert error["advice"] in demonstrated("errors").out


@pytest.mark.requirement("R55")
def test_current_errors_are_deleted_by_a_filter_with_who_when_and_why(tieout: Tieout) -> None:
    confirm = "Failed to confirm journal 5541230 in Dataverse."
    ingest_and_project(
        tieout,
        json_lines(
            process_message(confirm, "e1"), process_message("x", "e2", company="GBPM"), process_message("y", "e3")
        ),
    )
    rehearsed = tieout("errors", "delete", "--company", "uspm", "--why", "mended", "--dry-run")
    assert ("2 current errors" in rehearsed.out, rehearsed.code) == (True, 0)
    asked = tieout("errors", "delete", "--company", "uspm", "--why", "mended", stdin=b"n\n")
    assert (asked.code, "Delete 2 current errors?" in asked.err) == (1, True)
    assert "Deleting starts a new attempt cycle for 2 general journals." in asked.err
    assert len(tieout("errors", "--json").lines) == 3

    done = tieout("errors", "delete", "--company", "uspm", "--code", "GJ_CONFIRM", "--why", "mended", "-y")
    retried = "A new attempt cycle starts for 1 general journal.\n"
    assert (done.code, done.err) == (0, f"1 error deleted.\n{retried}")
    assert [error["subject"] for error in tieout("errors", "--json").lines] == ["e2", "e3"]
    (kept,) = tieout("errors", "--history", "--subject", "e1", "--json").lines
    assert (kept["standing"], kept["deleted"]["who"], kept["deleted"]["why"]) == ("deleted", local_name(), "mended")
    assert f"by {local_name()}: mended" in tieout("errors", "--history").out

    assert tieout("errors", "delete", "--all", "--why", "new year", "--yes").code == 0
    assert tieout("errors").out == "No current errors. Use --history to list past errors.\n"
    nothing = tieout("errors", "delete", "--all", "--why", "again", "--yes")
    assert (nothing.code, nothing.err) == (0, "No current error matches.\n")
    ingest_and_project(tieout, json_lines(process_message(confirm, "e1b", "2025-01-08T11:00:00Z", subject="e1")))
    (again,) = tieout("errors", "--json").lines
    assert (again["standing"], again["count"]) == ("current", 2)


@pytest.mark.requirement("R55")
def test_what_was_deleted_stays_deleted_in_a_store_that_is_built_anew(tieout: Tieout, tmp_path: Path) -> None:
    ingest_and_project(tieout, json_lines(process_message("first", "e1"), process_message("second", "e2")))
    assert tieout("errors", "delete", "--subject", "e1", "--why", "mended", "--yes").code == 0
    before = tieout("dump").out
    for path in tmp_path.glob("store.sqlite*"):
        path.unlink()
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("dump").out == before
    assert [error["subject"] for error in tieout("errors", "--json").lines] == ["e2"]
    assert tieout("verify").code == 0
    with sqlite3.connect(tmp_path / "store.sqlite") as store:
        store.execute("DELETE FROM deletions")
    assert tieout("verify").code == 1
    assert "the error log does not hold the deletion" in tieout("check").out


@pytest.mark.requirement("R55", "R72")
def test_history_is_purged_after_its_days_and_the_store_is_still_that_of_its_topics(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = ("2024-10-09", "2024-10-11", "2025-01-07")
    again = [process_message(f"On {day}.", f"m{day}", f"{day}T10:00:00Z", subject="J-1") for day in days]
    ingest_and_project(tieout, json_lines(process_message("Old and current.", "e1", "2023-01-01T10:00:00Z"), *again))
    kept = ["On 2025-01-07.", "On 2024-10-11.", "Old and current."]
    assert [error["text"] for error in tieout("errors", "--history", "--json").lines] == kept
    assert tieout("verify").code == 0
    assert tieout("check").code == 0
    assert tieout("replay", "--yes").code == 0
    assert [error["text"] for error in tieout("errors", "--history", "--json").lines] == kept
    monkeypatch.setenv("TIEOUT_ERROR_HISTORY_DAYS", "7")
    assert tieout("run", "--until-caught-up").code == 0
    assert [error["text"] for error in tieout("errors", "--history", "--json").lines] == [kept[0], kept[2]]
    assert tieout("verify").code == 0
    monkeypatch.setenv("TIEOUT_ERROR_HISTORY_DAYS", "0")
    assert "use a number of days from 1 on" in error_text(tieout("errors"))


@pytest.mark.requirement("R55")
def test_nothing_is_deleted_without_a_reason_or_a_choice(tieout: Tieout) -> None:
    ingest_and_project(tieout, json_lines(process_message("first", "e1")))
    assert "name the errors" in tieout("errors", "delete", "--why", "x").err
    assert "the text is empty" in tieout("errors", "delete", "--all", "--why", " ").err
    assert "the text is empty" in tieout("errors", "delete", "--all", "--why", "").err
    assert "--why" in tieout("errors", "delete", "--all").err
    assert "is not a process. Use one of import-from-staging" in tieout("errors", "--process", "import").err
    assert "is not a message code. Use one of NOT_POSTED" in tieout("errors", "--code", "not_posted").err
    assert len(tieout("errors", "--json").lines) == 1


@pytest.mark.requirement("R43", "R50")
def test_a_retry_says_what_it_would_do_for_each_error(demonstrated: Tieout, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ("errors", "retry", "--all", "--dry-run")
    left = demonstrated(*everything, "--json").lines
    assert len(left) == len(demonstrated("errors", "--json").lines)
    actions = {("integration-journal-posting", None), ("import-from-staging", "import")}
    assert {(line["process"], line["action"]) for line in left} == actions | {("general-journal-sync", "journal")}
    assert all("TIEOUT_SYNC_POSTS" in line["why"] for line in left if line["action"] is None)
    monkeypatch.setenv("TIEOUT_SYNC_POSTS", "true")
    done = demonstrated(*everything, "--json").lines
    assert {line["action"] for line in done} == {"posting", "import", "journal"}
    assert "post the journal" in demonstrated(*everything).out
    assert "No current error matches." in demonstrated("errors", "retry", "--subject", "none", "--yes").out


def test_a_retry_says_which_errors_and_needs_the_two_systems(
    demonstrated: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "name the errors" in demonstrated("errors", "retry").err
    monkeypatch.setenv("TIEOUT_SYNC_POSTS", "true")
    assert "TIEOUT_FINANCE and TIEOUT_DATAVERSE" in demonstrated("errors", "retry", "--all", "--yes").err


@pytest.mark.requirement("R51")
def test_the_list_ends_with_what_prevalidation_would_have_prevented(tieout: Tieout) -> None:
    line = row_change("ProjAdvancedJournalLine", "5637144582", ExtendedCost="1234.50", CostCurrency="USD", Status=1)
    error = process_message("Unable to write data to entity msdyn_actuals", "e1", subject="5637144582")
    error["value"]["data"]["process"] = "integration-journal-posting"
    ingest_and_project(tieout, json_lines(line, error))
    advice = "It would have prevented 1 line: 1,234.50 USD."
    assert advice in tieout("errors", "--company", "USPM").out
    assert "turn on Project actuals prevalidation in Finance" in tieout("errors").out
    assert [line["code"] for line in tieout("errors", "--json").lines] == ["ACTUAL_NOT_WRITTEN"]
    assert tieout("errors", "delete", "--all", "--why", "rolled back", "--yes").code == 0
    assert "prevalidation" not in tieout("errors").out


@pytest.mark.requirement("R50", "R51")
def test_an_error_of_dual_write_is_told_with_the_document_that_it_names(tieout: Tieout) -> None:
    text = "Unable to write data to entity msdyn_expenses. Unable to lookup uoms with values {TST}."
    error = process_message(text, "e1", subject="000123")
    error["value"]["data"] |= {"process": "dual-write", "run": "msdyn_expenses"}
    ingest_and_project(tieout, json_lines(posted_expense("000123"), posted_expense("000124"), error))
    (found,) = tieout("errors", "--process", "dual-write", "--json").lines
    (document,) = tieout("chain", "USPM/000123", "--json").lines
    assert document["errors"] == [found]
    told = tieout("chain", "USPM/000123").out
    assert "Error: DW_UNIT_MISSING (dual-write, 2025-01-08T10:00:00Z)" in told
    assert text in told
    assert "do not post or enter it again" in " ".join(told.split())
    assert tieout("chain", "USPM/000124", "--json").lines[0]["errors"] == []
    assert "dual-write cannot be started alone" in tieout("errors", "retry", "--all", "--dry-run", "--json").out
