"""Backup and restore on one machine: a copy taken while a worker writes is consistent, and continues at its offsets."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.errors import QueryError, StoreError
from store.proof.dump import dump
from streams.log import LogDamaged, LogDiffers
from tests.support.commandline import Tieout, typist
from tests.support.live import live
from tests.support.workspace import project, small_company
from tieout.bootstrap import open_projector, open_store
from tieout.maintenance.backup import back_up, restore
from tieout.maintenance.ingest import read_line
from tieout.maintenance.verify import verify
from tieout.settings import Settings
from tieout.simulator import ingest_lines, simulate
from tieout.sync.command_topic import TopicWriter


def settings_in(folder: Path) -> Settings:
    return Settings(
        broker=f"embedded:///{folder / 'log.sqlite'}",
        store=f"sqlite:///{folder / 'store.sqlite'}",
        companies=("USPM",),
    )


def dumped(settings: Settings) -> list[dict[str, Any]]:
    with open_store(settings, write=False) as engine:
        return list(dump(engine))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A backup that was taken while events came in."""
    outlets: list[TopicWriter] = []
    with live(tmp_path / "used", handles=False, on_outlet=outlets.append) as site:
        found = (read_line(line, "tieout") for line in ingest_lines(simulate("small", 2).events))
        more = [record for record in found if record is not None]
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                for start in range(0, len(more), 20):
                    outlets[0].append(more[start : start + 20])

        writing = threading.Thread(target=write)
        writing.start()
        try:
            copied = list(back_up(site.settings, tmp_path / "saved"))
        finally:
            stop.set()
            writing.join()
    assert [one.what for one in copied] == ["store", "log"]
    return tmp_path / "saved"


@pytest.mark.requirement("R74")
def test_a_backup_of_a_running_installation_is_restored_and_goes_on(saved: Path, tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "restored")
    assert [one.left for one in restore(settings, saved)] == [False, False]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "restored").iterdir()} == {0o600}
    project(settings, small_company())
    assert verify(settings) == []


@pytest.mark.requirement("R71", "R74")
def test_an_older_store_goes_on_with_a_newer_log_and_a_newer_store_refuses_an_older_log(
    saved: Path, tmp_path: Path
) -> None:
    used = settings_in(tmp_path / "used")
    project(used, [])
    for path in (tmp_path / "used").glob("store.sqlite*"):
        path.rename(tmp_path / path.name)
    assert [(one.what, one.left) for one in restore(used, saved)] == [("store", False), ("log", True)]
    project(used, [])
    assert verify(used) == []

    shutil.copytree(tmp_path / "used", tmp_path / "newer")
    for path in (tmp_path / "newer").glob("log.sqlite*"):
        path.unlink()
    newer = settings_in(tmp_path / "newer")
    assert [(one.what, one.left) for one in restore(newer, saved)] == [("store", True), ("log", False)]
    before = dumped(newer)
    with pytest.raises(LogDiffers, match="older copy of the log"), open_projector(newer):
        pass
    assert dumped(newer) == before


@pytest.mark.requirement("R74")
def test_nothing_is_restored_over_what_is_there_or_beside_what_is_left(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "restored"
    folder.mkdir()
    (folder / "store.sqlite-wal").touch()
    with pytest.raises(
        QueryError, match=r"store\.sqlite-wal belongs to a store that no longer exists. Move it away first"
    ):
        list(restore(settings_in(folder), saved))
    assert [path.name for path in folder.iterdir()] == ["store.sqlite-wal"]
    with pytest.raises(QueryError, match=r"store\.sqlite exists. Name another folder"):
        list(back_up(settings_in(tmp_path / "used"), saved))
    with pytest.raises(QueryError, match="has no backup of the store"):
        list(restore(settings_in(tmp_path / "other"), tmp_path))
    with pytest.raises(QueryError, match="`pg_dump`"):
        list(back_up(replace(Settings(), broker="kafka://b:1", store="postgresql+psycopg://u@h/d"), tmp_path))


@pytest.mark.requirement("R74")
def test_a_damaged_backup_is_refused_and_leaves_nothing_behind(saved: Path, tmp_path: Path) -> None:
    log = saved / "log.sqlite"
    content = bytearray(log.read_bytes())
    place = content.rindex(b"tieout.row.changed") if b"tieout.row.changed" in content else len(content) // 2
    content[place] ^= 0xFF
    log.write_bytes(content)
    with pytest.raises(LogDamaged):
        list(restore(settings_in(tmp_path / "restored"), saved))
    assert not (tmp_path / "restored" / "log.sqlite").exists()


@pytest.mark.requirement("R74")
@pytest.mark.parametrize("what", ["store", "log"])
def test_a_backup_that_was_cut_is_refused_by_name(saved: Path, tmp_path: Path, what: str) -> None:
    with (saved / f"{what}.sqlite").open("rb+") as file:
        file.truncate(100_000)
    with pytest.raises((StoreError, LogDamaged), match=f"{what}"):
        list(restore(settings_in(tmp_path / "restored"), saved))
    assert not [path.name for path in (tmp_path / "restored").iterdir() if path.name.startswith(f"{what}.")]


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    return typist(tmp_path, {"TIEOUT_TODAY": "2025-01-08"}, monkeypatch, capfd)


@pytest.mark.requirement("R74")
def test_backup_and_restore_are_commands(tieout: Tieout, tmp_path: Path) -> None:
    assert "there is nothing to back up" in tieout("backup", "saved/monday").err
    (tmp_path / "events.jsonl").write_bytes(b"".join(small_company()))
    assert tieout("ingest", "events.jsonl").code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    before = tieout("dump").out
    done = tieout("backup", "saved/monday")
    assert (done.code, done.err.count("saved/monday/")) == (0, 2)
    again = tieout("restore", "saved/monday")
    assert (again.code, "nothing was restored" in again.err) == (1, True)
    (tmp_path / ".tieout").rename(tmp_path / "before")
    assert tieout("restore", "saved/monday").code == 0
    assert tieout("dump").out == before
    assert tieout("check").code == 0
