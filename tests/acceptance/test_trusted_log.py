"""The log and the store are compared: an older, newer, damaged or other log, and an older, deleted or foreign store,
lead to a refusal with the reason, or to the correct result.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streams.embedded.blocks import OFFSET_BITS
from streams.embedded.log import EmbeddedLog
from streams.log import NewRecord
from tests.support.commandline import Outcome, Tieout, typist
from tests.unit.test_embedded_log import changed

pytestmark = pytest.mark.requirement("R90")

LOG, STORE = "log.sqlite", "store.sqlite"


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    settings = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/{LOG}",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/{STORE}",
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
    }
    return typist(tmp_path, settings, monkeypatch, capfd)


def expense(row: int, amount: str = "100.00") -> bytes:
    """An approved expense as a line of `tieout ingest`."""
    columns = {
        "ProjTransId": str(row), "AmountCurr": amount, "AmountMST": amount, "ExchangeCode": "USD", "ApprovalStatus": 6,
        "TransDate": "2025-01-08", "ProjId": "P-1",
    }  # fmt: skip
    data = {"entity": "TrvExpTrans", "id": str(row), "operation": "upsert", "company": "USPM", "columns": columns}
    event = {
        "specversion": "1.0", "id": f"e{row}-{amount}", "source": "/finance/contoso", "type": "tieout.row.changed",
        "time": "2025-01-08T09:00:00Z", "data": data,
    }  # fmt: skip
    return json.dumps({"topic": "finance.changes", "key": str(row), "value": event}).encode() + b"\n"


def send(tieout: Tieout, *rows: int, amount: str = "100.00") -> None:
    outcome = tieout("ingest", "-", stdin=b"".join(expense(row, amount) for row in rows))
    assert outcome.code == 0, outcome.err


def run(tieout: Tieout) -> Outcome:
    return tieout("run", "--role", "project", "--until-caught-up")


def catch_up(tieout: Tieout, *rows: int) -> None:
    send(tieout, *rows)
    outcome = run(tieout)
    assert outcome.code == 0, outcome.err


def copy(folder: Path, name: str, to: str) -> None:
    """Copy a database as a backup would; it is closed."""
    assert not (folder / f"{name}-wal").exists()
    for ending in ("", "-wal", "-shm"):
        (folder / f"{to}{ending}").unlink(missing_ok=True)
    shutil.copy(folder / name, folder / to)


def documents(tieout: Tieout) -> list[str]:
    return sorted(
        row["document"]
        for row in tieout(
            "documents", "--company", "USPM", "--from", "2025-01-01", "--to", "2025-01-31", "--json"
        ).lines
    )


def line(outcome: Outcome, check: str) -> str:
    return next(line for line in outcome.out.splitlines() if f" {check} " in line)


def refused(tieout: Tieout, folder: Path, *said: str) -> None:
    """Worker, replay and `verify` refuse this log, `check` names it, and the store is what it was."""
    before = contents(folder / STORE)
    for arguments in (("run", "--role", "project", "--until-caught-up"), ("verify",), ("replay", "--yes")):
        outcome = tieout(*arguments)
        assert outcome.code == 1, (arguments, outcome)
        for part in (*said, "Nothing was changed", "keep the old store", "docs/operating.md"):
            assert part in outcome.err, (arguments, outcome.err)
        assert "Traceback" not in outcome.err
    checked = tieout("check")
    assert checked.code == 1
    told = line(checked, "offsets")
    assert told.startswith("FAULT")
    for part in (*said, "keep the old store"):
        assert part in told
    assert contents(folder / STORE) == before


def contents(store: Path) -> list[str]:
    with closing(sqlite3.connect(store)) as file:
        return list(file.iterdump())


def trusted(tieout: Tieout, folder: Path, rows: int) -> None:
    """The store is what this log gives."""
    assert run(tieout).code == 0
    assert len(documents(tieout)) == rows
    assert tieout("verify").code == 0
    checked = tieout("check")
    assert checked.code == 0, checked.out
    assert "in the log that the store was built from" in line(checked, "offsets")


# --- the log: the same, newer, older, made again, another one --------------------------------------------------------


def test_a_log_that_goes_on_is_the_same_log(tieout: Tieout, tmp_path: Path) -> None:
    catch_up(tieout, 1, 2)
    trusted(tieout, tmp_path, 2)
    catch_up(tieout, 3)
    trusted(tieout, tmp_path, 3)


@pytest.mark.requirement("R71")
def test_a_log_from_an_older_backup_is_refused(tieout: Tieout, tmp_path: Path) -> None:
    catch_up(tieout, 1, 2)
    copy(tmp_path, LOG, "backup.sqlite")
    catch_up(tieout, 3)
    copy(tmp_path, "backup.sqlite", LOG)
    refused(tieout, tmp_path, "finance.changes/0 was read up to 3, and the log ends at 2", "an older copy of the log")


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("more", [1, 2, 5])
def test_an_older_log_that_was_written_to_since_is_refused_however_long_it_is(
    tieout: Tieout, tmp_path: Path, more: int
) -> None:
    catch_up(tieout, 1, 2)
    copy(tmp_path, LOG, "backup.sqlite")
    catch_up(tieout, 3)
    copy(tmp_path, "backup.sqlite", LOG)
    send(tieout, *range(10, 10 + more))
    refused(tieout, tmp_path, "finance.changes/0 was read up to 3", "is not the one that was read: it is")


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("rows", [(), (1,), (1, 2), (1, 2, 3, 4)])
def test_a_log_that_was_made_again_is_refused_whatever_it_holds(
    tieout: Tieout, tmp_path: Path, rows: tuple[int, ...]
) -> None:
    catch_up(tieout, 1, 2)
    (tmp_path / LOG).unlink()
    send(tieout, *rows)
    refused(tieout, tmp_path, "finance.changes: not what the store was filled from. It was re-created since")


@pytest.mark.requirement("R85")
def test_the_topics_of_another_environment_are_refused_on_the_same_log(tieout: Tieout, tmp_path: Path) -> None:
    """RecIds are unique within an environment only: the row of one would take the place of that of the other."""
    catch_up(tieout, 1)
    before = documents(tieout), tieout("dump").out
    assert tieout("ingest", "-", stdin=expense(1, "250.00"), prefix="fabrikam").code == 0
    refused(tieout, tmp_path, "tieout.finance.changes: topics of another environment (TIEOUT_PREFIX)")
    assert (documents(tieout), tieout("dump").out) == before
    with_its_own = tieout(
        "run", "--role", "project", "--until-caught-up", store=f"sqlite:///{tmp_path}/fabrikam.sqlite"
    )
    assert with_its_own.code == 0, with_its_own.err


@pytest.mark.requirement("R71")
def test_another_log_is_refused_also_by_a_store_that_has_read_nothing_of_a_topic(
    tieout: Tieout, tmp_path: Path
) -> None:
    send(tieout)
    assert run(tieout).code == 0
    (tmp_path / LOG).unlink()
    send(tieout, 1)
    refused(tieout, tmp_path, "dataverse.changes", "not what the store was filled from")


@pytest.mark.requirement("R71")
def test_a_refused_log_fills_a_new_store_and_the_old_store_goes_on_with_its_own(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(tieout, 1, 2)
    copy(tmp_path, LOG, "kept.sqlite")
    (tmp_path / LOG).unlink()
    send(tieout, 7)
    assert run(tieout).code == 1
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/new.sqlite")
    trusted(tieout, tmp_path, 1)
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/{STORE}")
    copy(tmp_path, "kept.sqlite", LOG)
    trusted(tieout, tmp_path, 2)


@pytest.mark.requirement("R71")
def test_a_log_that_lost_its_write_ahead_file_after_a_kill_is_refused_and_with_it_goes_on(
    tieout: Tieout, tmp_path: Path
) -> None:
    catch_up(tieout, 1, 2)
    topic, value = "tieout.finance.changes", json.dumps(json.loads(expense(3))["value"]).encode()
    with closing(EmbeddedLog.open(tmp_path / LOG, "write")) as log:
        log.append([NewRecord(topic, b"3", value)])
        # What a process that is killed leaves behind.
        left = {ending: (tmp_path / f"{LOG}{ending}").read_bytes() for ending in ("", "-wal")}
    assert left["-wal"]
    for ending, content in left.items():
        (tmp_path / f"{LOG}{ending}").write_bytes(content)
    trusted(tieout, tmp_path, 3)
    (tmp_path / LOG).write_bytes(left[""])
    refused(tieout, tmp_path, "finance.changes/0 was read up to 3, and the log ends at 2")


# --- the log: damaged ------------------------------------------------------------------------------------------------


@pytest.fixture
def damage(tieout: Tieout, tmp_path: Path) -> Callable[[], None]:
    """Four events are read in as many blocks; then the second is damaged."""
    for row in (1, 2, 3, 4):
        catch_up(tieout, row)

    def do() -> None:
        changed(
            tmp_path / LOG,
            "UPDATE blocks SET body = CAST(replace(body, '100.00', '200.00') AS BLOB) WHERE id & 0xff = 1 AND id >> "
            f"{OFFSET_BITS} = (SELECT place FROM partitions WHERE topic = 'tieout.finance.changes')",
        )

    return do


NAMED = "tieout.finance.changes, partition 0, offset 1 (1 record): its checksum is not that of its content"


@pytest.mark.requirement("R71", "R72")
def test_a_damaged_block_is_named_with_its_records_by_whoever_reads_it(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[], None]
) -> None:
    assert tieout("log", "check").code == 0
    damage()
    told = tieout("log", "check")
    assert told.code == 1
    assert "DAMAGED tieout.finance.changes/0  3 undamaged records, checksums from offset 0" in told.out
    assert "tieout.finance.changes/0  offset 1 (1 record): its checksum is not that of its content" in told.out
    assert "Keep the file. `tieout log salvage FILE`" in told.out
    verified = tieout("verify")
    assert verified.code == 1
    assert NAMED in verified.err
    # What was read stays, and what comes is read: it is the log's past that is damaged.
    catch_up(tieout, 5)
    assert len(documents(tieout)) == 5
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/new.sqlite")
    rebuilt = run(tieout)
    assert rebuilt.code == 1
    assert NAMED in rebuilt.err
    assert "Keep this file" in rebuilt.err


@pytest.mark.requirement("R71")
def test_a_store_goes_on_with_the_log_that_was_salvaged(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[], None]
) -> None:
    damage()
    saved = tieout("log", "salvage", "saved.sqlite")
    assert saved.code == 1
    assert "offset 1 (1 record)" in saved.out
    assert "records written to saved.sqlite. Keep" in saved.out
    monkeypatch.setenv("TIEOUT_BROKER", f"embedded:///{tmp_path}/saved.sqlite")
    assert tieout("log", "check").code == 0
    assert "3 undamaged records, checksums from offset 0, 1 record lost before" in tieout("log", "check").out
    # The store knows the event that the log has lost, and is the only one that does.
    catch_up(tieout, 5)
    assert len(documents(tieout)) == 5
    assert tieout("check").code == 0
    verified = tieout("verify")
    assert verified.code == 1
    assert "The store does not match its topics" in verified.out
    assert "the log has lost events that the store has applied" in verified.out
    assert "Keep both" in verified.out
    # A new store lists the missing event.
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/new.sqlite")
    assert run(tieout).code == 0
    assert len(documents(tieout)) == 4
    [rejected] = tieout("rejected", "list", "--json").lines
    assert (rejected["id"], rejected["bytes"]) == ("tieout.finance.changes/0/1", 0)
    assert "the event was lost when the log was damaged" in rejected["reason"]
    assert tieout("verify").code == 0
    assert tieout("check").code == 0


@pytest.mark.requirement("R71")
def test_a_lost_event_just_before_the_place_of_the_store_leaves_the_identity_to_compare(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(tieout, 1)
    changed(tmp_path / LOG, "UPDATE blocks SET checksum = checksum + 1")
    error = run(tieout)
    assert error.code == 1
    assert "is damaged at tieout.finance.changes, partition 0, offset 0 (1 record)" in error.err
    assert tieout("log", "salvage", "saved.sqlite").code == 1
    monkeypatch.setenv("TIEOUT_BROKER", f"embedded:///{tmp_path}/saved.sqlite")
    assert run(tieout).code == 0
    told = line(tieout("check"), "offsets")
    assert told.startswith("ok")
    assert "by its identity alone: tieout.finance.changes/0, whose event 0 was lost before the log was salvaged" in told


def test_the_log_is_checked_and_salvaged_for_programs_too(
    tieout: Tieout, damage: Callable[[], None], tmp_path: Path
) -> None:
    damage()
    for arguments in (("log", "check", "--json"), ("log", "salvage", "saved.sqlite", "--json")):
        [told] = tieout(*arguments).lines
        assert (told["ok"], told["path"], told["faults"]) == (False, f"{tmp_path}/{LOG}", [])
        found: dict[str, Any] = next(one for one in told["partitions"] if one["damaged"])
        assert found == {
            "topic": "tieout.finance.changes",
            "partition": 0,
            "end": 4,
            "checksums_from": 0,
            "whole": 3,
            "lost": 0,
            "damaged": [{"first": 1, "end": 2, "why": "its checksum is not that of its content"}],
        }


def test_only_an_embedded_log_has_a_file_to_check(tieout: Tieout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_BROKER", "kafka://localhost:9")
    for arguments in (("log", "check"), ("log", "salvage", "new.sqlite")):
        outcome = tieout(*arguments)
        assert outcome.code == 1
        assert "TIEOUT_BROKER names a broker" in outcome.err


def test_a_log_that_is_not_there_is_neither_checked_nor_made(tieout: Tieout, tmp_path: Path) -> None:
    for arguments in (("log", "check"), ("log", "salvage", "new.sqlite")):
        outcome = tieout(*arguments)
        assert outcome.code == 1
        assert "There is no event log" in outcome.err
    assert not list(tmp_path.glob("*.sqlite"))


# --- the store: older, deleted, foreign ------------------------------------------------------------------------------


@pytest.mark.requirement("R74")
def test_an_older_store_reads_what_came_since(tieout: Tieout, tmp_path: Path) -> None:
    catch_up(tieout, 1, 2)
    copy(tmp_path, STORE, "backup.sqlite")
    catch_up(tieout, 3)
    copy(tmp_path, "backup.sqlite", STORE)
    trusted(tieout, tmp_path, 3)


@pytest.mark.requirement("R74")
def test_a_deleted_store_is_filled_again(tieout: Tieout, tmp_path: Path) -> None:
    catch_up(tieout, 1, 2)
    before = tieout("dump").out
    for file in tmp_path.glob(f"{STORE}*"):
        file.unlink()
    trusted(tieout, tmp_path, 2)
    assert tieout("dump").out == before


@pytest.mark.requirement("R74")
def test_a_store_from_before_learns_which_log_it_reads(tieout: Tieout, tmp_path: Path) -> None:
    catch_up(tieout, 1, 2)
    changed(tmp_path / STORE, "UPDATE offsets SET last = NULL")
    changed(tmp_path / STORE, "DELETE FROM settings WHERE name LIKE 'log of %'")
    told = line(tieout("check"), "offsets")
    assert told.startswith("ok")
    assert "the next start of a worker stores it" in told
    trusted(tieout, tmp_path, 2)
    (tmp_path / LOG).unlink()
    send(tieout, 1, 2)
    refused(tieout, tmp_path, "It was re-created since")


@pytest.mark.requirement("R71")
def test_a_store_of_another_log_is_refused(tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catch_up(tieout, 1, 2)
    monkeypatch.setenv("TIEOUT_BROKER", f"embedded:///{tmp_path}/other.sqlite")
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/others.sqlite")
    catch_up(tieout, 1, 2)
    copy(tmp_path, "others.sqlite", STORE)
    monkeypatch.setenv("TIEOUT_BROKER", f"embedded:///{tmp_path}/{LOG}")
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/{STORE}")
    refused(tieout, tmp_path, "or it is of another log")


def test_log_and_store_are_not_taken_for_each_other(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(tieout, 1)
    before = {name: (tmp_path / name).read_bytes() for name in (LOG, STORE)}
    monkeypatch.setenv("TIEOUT_BROKER", f"embedded:///{tmp_path}/{STORE}")
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/{LOG}")
    for arguments in (("run", "--role", "project", "--until-caught-up"), ("ingest", "-"), ("verify",), ("dump",)):
        outcome = tieout(*arguments)
        assert outcome.code == 1
        assert "is a store, not an event log" in outcome.err or "is the event log, not a store" in outcome.err
        assert "left as it is" in outcome.err
    checked = tieout("check")
    assert "is a store, not an event log" in line(checked, "broker")
    assert "is the event log, not a store" in line(checked, "store")
    assert {name: (tmp_path / name).read_bytes() for name in (LOG, STORE)} == before
    with closing(EmbeddedLog.open(tmp_path / LOG, "read")) as log:
        assert log.end_offset("tieout.finance.changes", 0) == 1
