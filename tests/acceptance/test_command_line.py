"""The command line as a whole: help, wrong usage and settings, other processes and versions, signals and logs."""

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from streams.embedded.log import EmbeddedLog
from tests.support.commandline import Outcome, Tieout, change_store, ended, error_text, ingest_and_project
from tests.support.ingest_lines import json_lines, posted_expense


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIEOUT_TODAY", "yesterday"),
        ("TIEOUT_BROKER", "amqp://x"),
        ("TIEOUT_STORE", "nonsense"),
        ("TIEOUT_STORE", "what://ever"),
        ("TIEOUT_PREFIX", "a b"),
        ("TIEOUT_LOG_LEVEL", "loud"),
        ("TIEOUT_PARTITIONS", "many"),
        ("TIEOUT_ISSUER", "yes"),
        ("TIEOUT_STORE", "sqlite:////nowhere/at/all/store.sqlite"),
    ],
)
def test_a_wrong_setting_is_named(tieout: Tieout, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert name in error_text(tieout("summary", "--company", "USPM"))


def test_a_store_and_a_log_that_are_not_there_are_named(tieout: Tieout) -> None:
    assert "no such store yet" in error_text(tieout("summary", "--company", "USPM"))
    assert "no event log" in error_text(tieout("rejected", "list"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("summary", "--company", "USPM", "--from", "8.1.2025"),
        ("documents", "--company", "USPM", "--to", "20250108"),
        ("errors", "--from", "2025-02-30"),
    ],
)
def test_a_date_in_another_format_is_a_usage_error_that_names_the_format(
    tieout: Tieout, arguments: tuple[str, ...]
) -> None:
    outcome = tieout(*arguments)
    assert outcome.code == 2
    assert "YYYY-MM-DD" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("summary",),
        ("documents", "--company", "USPM", "--view", "everything"),
        ("ingest", "/there/is/no/such/file"),
        ("run", "--role", "dance"),
        ("simulate", "--out", "x", "--company", "nobody"),
        ("errors", "--from", "2025-02-01", "--to", "2025-01-01"),
        ("decode", "-", "--header", "x"),
    ],
)
def test_a_command_that_cannot_be_understood_ends_with_two(tieout: Tieout, arguments: tuple[str, ...]) -> None:
    outcome = tieout(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert "--help" in outcome.err


def test_a_second_process_on_the_same_log_is_told_who_holds_it(tieout: Tieout, tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.sqlite", "write")
    try:
        for command in (("ingest", "-"), ("run", "--until-caught-up")):
            error = error_text(tieout(*command))
            assert f"Another process (id {os.getpid()})" in error
    finally:
        log.close()


@pytest.mark.requirement("R74")
def test_a_store_newer_than_the_code_is_refused(tieout: Tieout, tmp_path: Path) -> None:
    ingest_and_project(tieout, json_lines(posted_expense("1")))
    change_store(tmp_path / "store.sqlite", "UPDATE alembic_version SET version_num = '9999'")
    for command in (("run", "--until-caught-up"), ("summary", "--company", "USPM"), ("dump",), ("verify",)):
        assert "newer than this version" in error_text(tieout(*command))


def test_a_file_that_is_no_store_and_one_that_is_no_log_are_refused(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("notes " * 1_000)
    monkeypatch.setenv("TIEOUT_STORE", f"sqlite:///{tmp_path}/notes.txt")
    assert "notes.txt" in error_text(tieout("summary", "--company", "USPM"))
    monkeypatch.setenv("TIEOUT_BROKER", f"embedded:///{tmp_path}/notes.txt")
    assert "notes.txt" in error_text(tieout("ingest", "-"))


def test_a_store_that_is_locked_for_too_long_is_told(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from store.queries.snapshot import Snapshot

    def locked(*arguments: Any) -> Any:
        raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))

    ingest_and_project(tieout, json_lines(posted_expense("1")))
    monkeypatch.setattr(Snapshot, "company", locked)
    assert "another process locks the store" in error_text(tieout("summary", "--company", "USPM"))


def test_every_command_says_what_it_is_for_and_gives_examples(tieout: Tieout) -> None:
    overview = tieout("--help").out
    commands = re.findall(r"^  ([a-z]+) {2,}\S", overview.partition("Commands:")[2], re.MULTILINE)
    assert {"demo", "run", "simulate", "ingest", "decode", "summary", "documents", "chain"} <= set(commands)
    groups = [["rejected", "list"], ["rejected", "show"], ["log", "check"], ["log", "salvage"]]
    for command in [*([name] for name in commands), *groups]:
        outcome = tieout(*command, "--help")
        assert outcome.code == 0
        assert f"tieout {' '.join(command)}" in outcome.out.partition("Examples:")[2]
    assert tieout("--version").out.startswith("tieout ")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tieout.cli import main; main(['--help']);"
        "print({'faust', 'sqlalchemy', 'alembic', 'tieout.simulator', 'structlog', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_nobody_reading_on_is_no_fault(demo: tuple[Outcome, dict[str, str]]) -> None:
    command = f"{shlex.quote(sys.executable)} -m tieout dump | head -n 1"
    done = subprocess.run(command, shell=True, env=demo[1], capture_output=True, text=True)  # noqa: S602
    assert done.stderr == ""
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        (("ingest", "-"), signal.SIGINT, 130),
        (("run", "--role", "project"), signal.SIGTERM, 0),
        (("run", "--role", "project"), signal.SIGINT, 0),
    ],
)
def test_a_command_that_is_interrupted_ends_quietly(
    tieout: Tieout, tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    tieout("ingest", "-", stdin=json_lines(posted_expense("1")))
    (tmp_path / "log.sqlite.lock").unlink()
    environment = {**os.environ, "TIEOUT_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "tieout", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as started, ended(started):  # type: ignore[call-overload]
        ready = tmp_path / ("store.sqlite" if arguments[0] == "run" else "log.sqlite.lock")
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # Its signal handlers are set a moment after.
        time.sleep(1.5)
        started.send_signal(number)
        _, err = started.communicate(timeout=30)
        assert (started.returncode, err) == (code, b"")


def test_logs_go_to_standard_error_as_json_where_nobody_watches(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_LOG_LEVEL", "info")
    assert tieout("ingest", "-", stdin=json_lines(posted_expense("1"))).code == 0
    outcome = tieout("run", "--until-caught-up")
    assert outcome.out == ""
    assert "worker_stopped" in [json.loads(line)["event"] for line in outcome.err.splitlines()]


@pytest.mark.requirement("R84")
def test_alerts_that_stand_are_listed_and_a_test_says_whether_it_was_taken(tieout: Tieout) -> None:
    ingest_and_project(tieout, json_lines(posted_expense("1")))
    assert tieout("alerts").out == "No alerts.\n"
    ingest_and_project(tieout, json_lines({"topic": "finance.changes", "value": {"not": "an event"}}))
    (alert,) = tieout("alerts", "--json").lines
    assert (alert["kind"], alert["since"], alert["detail"]["events"]) == ("events-rejected", None, 1)
    assert "1 event of" in tieout("alerts").out
    assert "TIEOUT_WEBHOOK is not set" in error_text(tieout("alerts", "test"))
    nobody = error_text(tieout("alerts", "test", webhook="http://127.0.0.1:9/key-nobody-may-see"))
    assert "the connection to 127.0.0.1 failed" in nobody
    assert "key-nobody-may-see" not in nobody
