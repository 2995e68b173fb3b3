"""`tieout sync` against the served pair, as docs/sync.md describes it."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from store.operational.attempts import SqlAttempts
from streams.topics import COMMANDS
from tests.support.commandline import Tieout, typist
from tests.support.pairs import Served, serving
from tieout.bootstrap import open_log, open_store
from tieout.cli.sync import progress_note
from tieout.settings import Settings, load
from tieout.simulator.pair.systems import ACTIONS
from tieout.simulator.scenario import SimulatedEvent, ingest_line
from tieout.sync.command_topic import TopicWriter
from tieout.worker.handling import handling


@pytest.fixture
def events() -> list[SimulatedEvent]:
    return []


@pytest.fixture
def served(events: list[SimulatedEvent]) -> Iterator[Served]:
    with serving(sink=events.append) as served:
        yield served


@pytest.fixture
def tieout(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tieout:
    """A command in a folder of its own, on the small company, with the settings that reach the pair."""
    processes = {f"TIEOUT_PROCESS_{process.upper()}": written for process, written in ACTIONS.items()}
    here = {"TIEOUT_TODAY": "2025-01-08", "TIEOUT_COMPANIES": "USPM", "TIEOUT_CONFIRMED": "feature"}
    settings = {**served.settings(), **processes, **here, "TIEOUT_OUTGOING": "true"}
    run = typist(tmp_path, settings, monkeypatch, capfd)
    assert run("simulate", "--out", "company.jsonl").code == 0
    assert run("ingest", "company.jsonl").code == 0
    assert run("run", "--role", "project", "--until-caught-up").code == 0
    return run


def missing(tieout: Tieout) -> tuple[str, int]:
    tile = json.loads(tieout("summary", "--company", "USPM", "--json").out)["tiles"]["expense_missing_actuals"]
    return tile["amount"], tile["documents"]


@pytest.mark.requirement("R40")
def test_what_was_lost_is_sent_again_from_the_command_line(
    tieout: Tieout, events: list[SimulatedEvent], served: Served
) -> None:
    assert missing(tieout) == ("4000.00", 40)
    dry = tieout("sync", "--company", "USPM", "--dry-run", "--json")
    planned = {row["document"] for row in dry.lines if row["action"] is not None}
    assert (dry.code, events) == (0, [])
    assert tieout("sync", "--company", "USPM", "--yes", "--no-wait").code == 0
    assert tieout("run", "--role", "project", "--role", "handle", "--until-caught-up").code == 0
    served.pair.feed.send_heartbeats()
    Path("events.jsonl").write_bytes(b"".join(map(ingest_line, events)))
    assert tieout("ingest", "events.jsonl").code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    assert missing(tieout) == ("1000.00", 10)
    rows = tieout("documents", "--company", "USPM", "--view", "all", "--json").lines
    retried = {row["document"] for row in rows if row["last_retried"]}
    assert retried == {name for name in planned if name in {row["document"] for row in rows}}
    (told,) = tieout("chain", sorted(retried)[0], "--json").lines
    assert [one["outcome"] for one in told["attempts"]] == ["succeeded"]


@pytest.mark.requirement("R49")
def test_while_outgoing_calls_are_off_a_sync_says_who_switches_them_on(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIEOUT_OUTGOING")
    refused = tieout("sync", "--company", "USPM", "--yes")
    assert refused.code == 1
    assert "TIEOUT_OUTGOING=true" in refused.err
    handling = tieout("run", "--role", "handle", "--until-caught-up")
    assert (handling.code, "TIEOUT_OUTGOING=true" in handling.err) == (1, True)
    assert tieout("sync", "--company", "USPM", "--dry-run").code == 0


@pytest.mark.requirement("R48")
def test_no_sync_starts_while_something_that_it_needs_is_missing(
    tieout: Tieout, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIEOUT_CONFIRMED")
    refused = tieout("sync", "--company", "USPM", "--yes", "--no-wait")
    assert refused.code == 1
    assert "feature" in refused.err
    assert not [call for call in served.pair.calls if any(written in call for written in ACTIONS.values())]
    assert tieout("sync", "--company", "USPM", "--dry-run").code == 0


def test_a_sync_that_is_followed_ends_with_what_did_not_go_well(tieout: Tieout, served: Served) -> None:
    served.pair.documents.maps_stopped = True
    assert tieout("sync", "--company", "USPM", "--kind", "vendor-invoice-line", "--yes", "--no-wait").code == 0
    assert tieout("run", "--role", "handle", "--until-caught-up").code == 0
    document = next(
        row["document"]
        for row in tieout("sync", "--company", "USPM", "--dry-run", "--json").lines
        if row["action"] == "export"
    )
    assert tieout("sync", "--document", document, "--yes", "--no-wait").code == 0
    assert tieout("run", "--role", "handle", "--until-caught-up").code == 0
    (told,) = tieout("chain", document, "--json").lines
    assert "map is not running" in told["attempts"][0]["text"]


def test_a_sync_names_a_company_or_a_document(tieout: Tieout) -> None:
    assert tieout("sync").code == 2
    assert tieout("sync", "--company", "USPM", "--document", "USPM/1").code == 2
    assert "no document" in tieout("sync", "--document", "USPM/nobody").err


@pytest.mark.requirement("R41")
def test_the_recurring_job_asks_by_the_commands_topic(tieout: Tieout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieout.worker.handling.JOB_SECONDS", 0.1)
    monkeypatch.setenv("TIEOUT_SYNC_AT", "00:00")
    settings, stop = load(), threading.Event()
    with open_store(settings, write=True) as engine:
        # An installation of some days ago: its first day counts as done.
        SqlAttempts(engine).claim_job("sync USPM", "2025-01-01")
    deadline = time.monotonic() + 60
    with handling(settings, stop, TopicWriter(settings)):
        while not (asked := commands(settings)) and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.set()
    assert {(command["command"], command["who"], command["by_person"]) for command in asked} == {
        ("sync", "recurring job", False)
    }
    with open_store(settings, write=False) as engine:
        documents = {sync.document for sync in SqlAttempts(engine).syncs()}
    assert documents == {name for command in asked for task in command["tasks"] for name in task["documents"]}


@pytest.mark.requirement("R47")
@pytest.mark.parametrize(
    ("states", "over", "seconds", "says"),
    [
        ({}, 0, 1.0, "0 done, 0 failed, 0 in progress, 8 waiting · remaining time unknown"),
        ({"waiting": 6, "running": 2}, 0, 1.0, "0 done, 0 failed, 2 in progress, 6 waiting · remaining time unknown"),
        (
            {"done": 1, "blocked": 1, "stopped": 2, "running": 1, "waiting": 3},
            4,
            10.0,
            "1 done, 3 failed, 1 in progress, 3 waiting · 0:00:10 left",
        ),
        ({"done": 2, "waiting": 6}, 2, 30.0, "2 done, 0 failed, 0 in progress, 6 waiting · 0:01:30 left"),
        ({"done": 7, "stopped": 1}, 8, 30.0, "7 done, 1 failed, 0 in progress, 0 waiting"),
    ],
)
def test_the_progress_says_what_is_done_failed_and_waiting_and_the_time_that_is_left(
    states: dict[Any, int], over: int, seconds: float, says: str
) -> None:
    assert progress_note(states, over, 8, seconds) == says


@pytest.mark.requirement("R47")
def test_a_sync_that_is_followed_shows_its_progress_on_the_terminal(tieout: Tieout, served: Served) -> None:
    served.pair.documents.maps_stopped = True
    settings, stop = load(), threading.Event()
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "tieout", "sync", "--company", "USPM", "--yes"]
    with (
        handling(settings, stop, TopicWriter(settings)),
        subprocess.Popen(command, stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal) as process,
    ):
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # a closed terminal
            while more := os.read(screen, 65_536):
                shown += more
        stop.set()
    os.close(screen)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]+", " ", shown.decode())
    assert process.returncode == 1
    told = re.findall(r"(\d+) done, (\d+) failed, (\d+) in progress, (\d+) waiting", re.sub(r" +", " ", text))
    assert len(told) > 1, text
    assert len({sum(map(int, numbers)) for numbers in told}) == 1
    assert int(told[-1][1]) > 0
    assert told[-1][2:] == ("0", "0")


def commands(settings: Settings) -> list[dict[str, Any]]:
    """Return the records of the commands topic."""
    topic = COMMANDS.full_name(settings.prefix)
    with open_log(settings, write=False) as log:
        return [json.loads(record.value or b"") for record in log.read(topic, 0, 0, 100, 1 << 24)]
