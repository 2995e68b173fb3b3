"""State that events do not contain outlives the store: attempts, sync runs and decisions are read from the state
topic.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.sync import attempts
from engine.sync.actions import Step
from engine.sync.attempts import ATTEMPTS_MAX, Sync
from store.operational import state_topic
from store.operational.attempts import SqlAttempts
from store.schema.database import connect
from tests.support.commandline import Tieout, typist
from tests.support.containers import until
from tests.support.live import Live, live
from tieout.bootstrap import open_reader
from tieout.settings import Settings
from tieout.simulator.pair.injected_faults import InjectedFaults
from tieout.simulator.pair.systems import ACTIONS
from tieout.sync.command_topic import TopicWriter, sync_commands
from tieout.sync.planning import plan, plan_for

pytestmark = pytest.mark.requirement("R90")

EXPORT = ACTIONS["export"].rpartition("/")[2]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "INITIAL_BACKOFF", 10_000)


def syncs(settings: Settings) -> list[Sync]:
    """The attempts, once all of them are on the topic."""
    engine = connect(settings.store, write=False)
    try:
        with engine.connect() as connection:
            waiting = state_topic.unpublished(connection)
        return [] if waiting else SqlAttempts(engine).syncs()
    finally:
        engine.dispose()


def press_sync(site: Live, topic_writer: TopicWriter, document: str) -> None:
    with open_reader(site.settings) as reader, reader.snapshot() as snapshot:
        request = plan_for(snapshot, site.settings, document).request("anna", "a test")
    topic_writer.send(sync_commands(request))


def lost_store(folder: Path) -> None:
    for path in folder.glob("store.sqlite*"):
        path.unlink()


def exported(site: Live) -> str:
    """A document that Sync sends to Dataverse again."""
    with open_reader(site.settings) as reader, reader.snapshot() as snapshot:
        company = snapshot.company("USPM")
        found = plan(snapshot, site.settings, company, snapshot.window(company, None, None)).documents
        return next(
            one.row.document.document
            for one in found
            if isinstance(one.step, Step) and one.step.action == "export" and one.row.document.kind == "expense"
        )


@pytest.mark.requirement("R43", "R71", "R74")
def test_five_attempts_stay_five_when_the_store_is_deleted(tmp_path: Path) -> None:
    outlets: list[TopicWriter] = []
    with live(tmp_path, on_outlet=outlets.append) as site:
        document = exported(site)
        site.pair.faults.next("unavailable", EXPORT, times=100)
        press_sync(site, outlets[0], document)
        until(lambda: [sync.attempts.state for sync in syncs(site.settings)] == ["stopped"], 60)
        (before,) = syncs(site.settings)
        assert (before.attempts.made, len(site.called(EXPORT))) == (ATTEMPTS_MAX, ATTEMPTS_MAX)
    lost_store(tmp_path)
    with live(tmp_path, on_outlet=outlets.append) as site:
        # The request is on its topic still, and asks for nothing a second time.
        until(lambda: syncs(site.settings) == [before], 60)
        assert site.called(EXPORT) == []
        press_sync(site, outlets[1], document)
        until(lambda: [sync.attempts.state for sync in syncs(site.settings)] == ["done"], 60)
        (after,) = syncs(site.settings)
        assert (after.attempts.round, after.attempts.made, len(site.called(EXPORT))) == (2, 1, 1)


@pytest.mark.requirement("R43", "R74")
def test_a_restored_store_learns_of_the_attempts_that_were_made_since_its_backup(tmp_path: Path) -> None:
    outlets: list[TopicWriter] = []
    with live(tmp_path, handles=False, on_outlet=outlets.append) as site:
        document = exported(site)
        press_sync(site, outlets[0], document)
        until(lambda: [sync.attempts.state for sync in syncs(site.settings)] == ["waiting"], 60)
    with (
        closing(sqlite3.connect(tmp_path / "store.sqlite")) as store,
        closing(sqlite3.connect(tmp_path / "backup.sqlite")) as backup,
    ):
        store.backup(backup)
    faults = InjectedFaults()
    faults.next("unavailable", EXPORT, times=100)
    with live(tmp_path, on_outlet=outlets.append, pair={"faults": faults}) as site:
        until(lambda: [sync.attempts.state for sync in syncs(site.settings)] == ["stopped"], 60)
        (before,) = syncs(site.settings)
    lost_store(tmp_path)
    shutil.copy(tmp_path / "backup.sqlite", tmp_path / "store.sqlite")
    with live(tmp_path, on_outlet=outlets.append) as site:
        until(lambda: syncs(site.settings) == [before], 60)
        assert site.called(EXPORT) == []


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    return typist(tmp_path, {"TIEOUT_TODAY": "2025-01-08", "TIEOUT_COMPANIES": "USPM"}, monkeypatch, capfd)


@pytest.mark.requirement("R72")
def test_verify_names_what_the_state_topic_says_otherwise(tmp_path: Path, tieout: Tieout) -> None:
    assert tieout("simulate", "--out", "company.jsonl").code == 0
    assert tieout("ingest", "company.jsonl").code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    errors = tieout("errors", "--json").lines
    assert tieout("errors", "delete", "--subject", errors[0]["subject"], "--why", "mended", "--yes").code == 0
    (deletion,) = [line for line in tieout("dump", "--state").lines if line["state"] == "deletion"]
    assert deletion["row"]["why"] == "mended"
    assert tieout("verify").code == 0
    assert "all of the state is on the state topic" in tieout("check").out
    with closing(sqlite3.connect(tmp_path / ".tieout" / "store.sqlite")) as store:
        # Past the triggers, as a restore of some tables is.
        store.execute("UPDATE deletions SET why = 'another reason'")
        store.execute("DELETE FROM state_outbox")
        store.commit()
    found = tieout("verify", "--json").lines
    assert ("state", f"deletion {deletion['key'][0]}") in [(one["what"], one["name"]) for one in found]
