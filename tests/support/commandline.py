"""Runs commands in a folder of their own, with settings of their own, and reads their output."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tieout.cli import main

TODAY = "2025-01-08"
"""The business date of the commands."""


class Outcome(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output, parsed as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kill a process at the end of the block if it still runs; its own `with` would wait for it forever."""
    try:
        yield
    finally:
        process.kill()


Tieout = Callable[..., Outcome]


def typist(
    folder: Path, settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tieout:
    """Return a function that runs a command in a folder, with `stdin` as input; settings of a call stay set."""
    for name in [name for name in os.environ if name.startswith("TIEOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: bytes = b"", **more: str) -> Outcome:
        for name, value in more.items():
            monkeypatch.setenv(f"TIEOUT_{name.upper()}", value)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = main(arguments)
        sys.stdout.flush()
        return Outcome(code, *capfd.readouterr())

    return run


def run_process(
    *arguments: str, environment: dict[str, str] | None = None, folder: Path | None = None, stdin: bytes = b""
) -> Outcome:
    """Run a command in a process of its own, with this environment only."""
    done = subprocess.run(
        [sys.executable, "-m", "tieout", *arguments], env=environment, cwd=folder, input=stdin, capture_output=True
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def ingest_and_project(tieout: Tieout, events: bytes) -> None:
    """Apply JSON lines to the store."""
    assert tieout("ingest", "-", stdin=events).code == 0
    assert tieout("run", "--until-caught-up").code == 0


def error_text(outcome: Outcome) -> str:
    """Return the message of a command that failed. It must be one clear message, without a traceback."""
    assert outcome.code == 1, outcome
    assert "Traceback" not in outcome.err
    assert outcome.err.startswith("error: "), outcome
    return outcome.err


def all_documents(tieout: Tieout, kind: str) -> list[Any]:
    """Return the documents of a kind, whatever their date and position."""
    wide = ("--from", "2000-01-01", "--to", "2030-01-01")
    return tieout("documents", "--company", "USPM", "--kind", kind, "--view", "all", *wide, "--json").lines


def change_store(store: Path, statement: str) -> None:
    """Change rows of a SQLite store behind the back of the writer."""
    connection = sqlite3.connect(store)
    with connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()
