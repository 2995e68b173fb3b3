"""Runs commands in an empty folder, or on the data of one demonstration for the whole session."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commandline import TODAY, Outcome, Tieout, run_process, typist
from tests.support.pairs import Served, serving


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    """Runs commands in an empty folder."""
    settings = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/log.sqlite",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/store.sqlite",
        "TIEOUT_TODAY": TODAY,
        "TIEOUT_COMPANIES": "USPM",
    }
    return typist(tmp_path, settings, monkeypatch, capfd)


@pytest.fixture
def served() -> Iterator[Served]:
    """The simulated pair, served."""
    with serving() as served:
        yield served


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, dict[str, str]]:
    """The outcome of `tieout demo` in a process of its own, and the environment that it suggests."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    outcome = run_process("demo", "--no-serve", environment=environment, folder=folder)
    exports = [line.strip().removeprefix("export ") for line in outcome.out.splitlines() if "export " in line]
    suggested = dict(shlex.split(export)[0].split("=", 1) for export in exports)
    return outcome, {**environment, **suggested}


@pytest.fixture
def demonstrated(tieout: Tieout, demo: tuple[Outcome, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Tieout:
    """Runs commands on the data of the demonstration, which they must not change."""
    for name, value in demo[1].items():
        monkeypatch.setenv(name, value)
    return tieout
