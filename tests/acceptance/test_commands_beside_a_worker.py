"""Commands while a worker in another process holds the embedded log: they are accepted, stored, and applied once."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from store.schema import tables
from streams.embedded.log import EmbeddedLog
from streams.topics import COMMANDS
from tests.support.commandline import Tieout, ingest_and_project, typist
from tests.support.containers import until
from tests.support.ingest_lines import json_lines, posted_expense, process_message
from tests.support.observed import Worker
from tests.support.pairs import Served, serving
from tests.support.workspace import served
from tieout.access.identities import local_name
from tieout.bootstrap import open_log, open_store
from tieout.settings import load
from tieout.simulator.pair.systems import ACTIONS
from tieout.sync.command_topic import TopicWriter
from tieout.worker.projecting import project

DELETION = ("errors", "delete", "--subject", "e1", "--why", "mended", "--yes")


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    """A command on a store that has two errors of general journals."""
    settings = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/log.sqlite",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/store.sqlite",
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
    }
    run = typist(tmp_path, settings, monkeypatch, capfd)
    ingest_and_project(
        run, json_lines(posted_expense("1"), process_message("first", "e1"), process_message("second", "e2"))
    )
    return run


@contextmanager
def running(folder: Path) -> Iterator[Worker]:
    """A projecting worker of its own process."""
    settings = load()
    process = Worker(folder, broker=settings.broker, store=settings.store, today="2025-01-08", companies="USPM")
    until(lambda: process.ready()[0] == 200, 30)
    try:
        yield process
    finally:
        process.end()


def subjects(tieout: Tieout) -> list[str]:
    return [error["subject"] for error in tieout("errors", "--json").lines]


def commands() -> list[dict[str, Any]]:
    """Return the records of the commands topic."""
    settings = load()
    with open_log(settings, write=False) as log:
        topic = COMMANDS.full_name(settings.prefix)
        return [json.loads(record.value or b"") for record in log.read(topic, 0, 0, 100, 1 << 24)]


def rows(table: Any) -> int:
    with open_store(load(), write=False) as engine, engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.mark.requirement("R55", "R71")
def test_an_error_is_deleted_while_a_worker_of_another_process_runs(tieout: Tieout, tmp_path: Path) -> None:
    with running(tmp_path):
        deleted = tieout(*DELETION)
        assert (deleted.code, deleted.err.splitlines()[0]) == (0, "1 error deleted.")
        assert subjects(tieout) == ["e2"]
    (kept,) = tieout("errors", "--history", "--subject", "e1", "--json").lines
    assert (kept["deleted"]["who"], kept["deleted"]["why"]) == (local_name(), "mended")
    assert [command["command"] for command in commands()] == ["delete-error"]
    assert rows(tables.inbox) == 0
    # The log is where it comes from: a store that is built again has it.
    before = tieout("dump").out
    for path in tmp_path.glob("store.sqlite*"):
        path.unlink()
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("dump").out == before
    assert tieout("verify").code == 0


@pytest.mark.requirement("R55", "R71")
def test_a_deletion_that_nobody_takes_yet_waits_and_says_so(tieout: Tieout, tmp_path: Path) -> None:
    with closing(EmbeddedLog.open(tmp_path / "log.sqlite", "write")):
        deleted = tieout(*DELETION)
    assert (deleted.code, deleted.err.splitlines()[0]) == (0, "1 error will be deleted by the worker.")
    assert (subjects(tieout), rows(tables.inbox), commands()) == (["e1", "e2"], 1, [])
    # A replay leaves it where it is.
    assert tieout("replay", "--yes").code == 0
    assert rows(tables.inbox) == 1
    assert tieout("run", "--until-caught-up").code == 0
    assert (subjects(tieout), rows(tables.inbox), len(commands())) == (["e2"], 0, 1)


@pytest.mark.requirement("R55", "R71")
def test_a_deletion_beside_a_process_that_soon_lets_go_of_the_log_is_applied_at_once(
    tieout: Tieout, tmp_path: Path
) -> None:
    log = EmbeddedLog.open(tmp_path / "log.sqlite", "write")
    letting_go = threading.Timer(1.0, log.close)
    letting_go.start()
    deleted = tieout(*DELETION)
    letting_go.join()
    assert (deleted.code, deleted.err.splitlines()[0]) == (0, "1 error deleted.")
    assert (subjects(tieout), rows(tables.inbox), len(commands())) == (["e2"], 0, 1)


@pytest.mark.requirement("R55", "R71")
@pytest.mark.parametrize(
    "point",
    [
        "before a batch is prepared",
        "before its transaction",
        "before rows are replaced",
        "before rows are deleted",
        "before the outbox is written",
        "before it is marked as sent",
    ],
)
def test_a_worker_that_dies_while_it_takes_a_deletion_loses_nothing_and_applies_it_once(
    tieout: Tieout, tmp_path: Path, point: str
) -> None:
    with closing(EmbeddedLog.open(tmp_path / "log.sqlite", "write")):
        assert tieout(*DELETION).code == 0
    dying = subprocess.run(
        [sys.executable, "-m", "tests.support.points"],
        input=f"0 {point}\n".encode(),
        env=dict(os.environ),
        cwd=Path(__file__).parents[2],
        capture_output=True,
    )
    assert dying.stdout.decode().splitlines() == [f"died {point}", "ended 9"], dying.stderr.decode()
    assert tieout("run", "--until-caught-up").code == 0
    assert (subjects(tieout), rows(tables.inbox), rows(tables.deletions)) == (["e2"], 0, 1)
    assert len({command["id"] for command in commands()}) == 1
    assert tieout("verify").code == 0


@contextmanager
def projecting() -> Iterator[None]:
    """A projecting worker in a thread, whose log nothing else in this process uses."""
    settings, stop = load(), threading.Event()
    topic_writer = TopicWriter(settings)
    thread = threading.Thread(target=project, args=(settings,), kwargs={"stop": stop, "topic_writer": topic_writer})
    thread.start()
    try:
        with topic_writer._changed:
            assert topic_writer._changed.wait_for(lambda: topic_writer._lent is not None, 30)
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.requirement("R55")
def test_a_workspace_of_another_process_deletes_beside_the_worker(tieout: Tieout) -> None:
    with projecting(), served(load()) as workspace:
        address = f"{workspace.address}/USPM/errors/delete"
        seen = re.findall(r'name="seen" value="([^"]+)"', httpx.get(address).text)
        assert len(seen) == 2
        form = {"seen": seen, "who": "somebody else", "why": "new year"}
        answer = httpx.post(address, data=form, headers={"Origin": workspace.address})
        assert answer.status_code == 303
        assert subjects(tieout) == []
    # Nobody can name another person, not even in a form of their own.
    deleted = [error["deleted"] for error in tieout("errors", "--history", "--json").lines]
    assert {deletion["who"] for deletion in deleted if deletion} == {local_name()}


@pytest.fixture
def pair() -> Iterator[Served]:
    with serving() as pair:
        yield pair


@pytest.mark.requirement("R40", "R71")
def test_a_sync_reaches_the_handlers_by_the_topic_beside_a_worker_of_another_process(
    pair: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {
        **pair.settings(),
        **{f"TIEOUT_PROCESS_{process.upper()}": written for process, written in ACTIONS.items()},
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
        "TIEOUT_CONFIRMED": "feature",
        "TIEOUT_OUTGOING": "true",
    }
    tieout = typist(tmp_path, settings, monkeypatch, capfd)
    assert tieout("simulate", "--out", "company.jsonl").code == 0
    assert tieout("ingest", "company.jsonl").code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    with projecting():
        asked = tieout("sync", "--company", "USPM", "--kind", "expense", "--yes", "--no-wait")
        assert (asked.code, "is kept" in asked.err) == (0, False)
        assert rows(tables.syncs) > 0
        assert rows(tables.sync_runs) == 1
    sent = {document for command in commands() for task in command["tasks"] for document in task["documents"]}
    assert len(sent) == rows(tables.syncs)
    assert rows(tables.inbox) == 0
