"""The files of an installation are private to their owner, and readable on a read-only medium."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from stat import S_IMODE

import pytest

from store.schema.sqlite_files import make_private
from streams import faust_app
from tests.support.nobody import NOBODY, need_nobody
from tests.support.workspace import project, settings_in, small_company
from tieout.bootstrap import open_projector, projected_topics
from tieout.maintenance.ingest import ingest
from tieout.settings import Settings, load

READING = (
    "summary --company USPM",
    "documents --company USPM",
    "chain USPM/USPM-PT000487",
    "proposals --company USPM",
    "errors --history",
    "journals",
    "alerts",
    "rejected list",
    "sync --company USPM --dry-run",
    "dump",
    "verify",
    "check",
)

WRITING = ("run --until-caught-up", "rejected resubmit --all --yes", "migrate")


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.usefixtures("umask")
def test_log_and_store_are_made_for_their_owner_alone_with_all_files_beside_them(tmp_path: Path) -> None:
    place = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/data/in/log.sqlite",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/data/other/store.sqlite",
    }
    settings = load(place, tmp_path)
    with open_projector(settings) as (log, projector):
        ingest(log, enumerate(small_company(), 1), prefix=settings.prefix, refuse=lambda number, reason: None)
        faust_app.run(log, projector, topics=projected_topics(settings), until_caught_up=True)
        found = modes(tmp_path)
    beside = ("log.sqlite", "log.sqlite-wal", "log.sqlite-shm", "log.sqlite.lock")
    files = (*beside, "store.sqlite", "store.sqlite-wal", "store.sqlite-shm")
    assert found == dict.fromkeys(files, 0o600) | dict.fromkeys(("data", "in", "other"), 0o700)


def test_a_file_that_exists_keeps_the_locks_that_this_process_holds_on_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    make_private(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        make_private(path)
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "database is locked" in other.stderr


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Settings]:
    """A log and a store that were closed, in a folder in which nothing may be written."""
    folder = tmp_path / "medium"
    settings = settings_in(folder)
    project(settings, small_company())
    for file in folder.iterdir():
        file.chmod(0o400)
    folder.chmod(0o500)
    yield settings
    folder.chmod(0o700)


def test_reading_commands_work_on_a_read_only_medium(read_only: Settings, tmp_path: Path) -> None:
    need_nobody()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")},
        "TIEOUT_BROKER": read_only.broker,
        "TIEOUT_STORE": read_only.store,
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
    }

    code = "import sys; from tieout.cli import main; print('ended', [main(line.split()) for line in sys.argv[1:]])"
    for commands, ended in ((READING, 0), (WRITING, 1)):
        typed = [*NOBODY, sys.executable, "-c", code, *commands]
        done = subprocess.run(typed, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1:] == [f"ended {[ended] * len(commands)}"], done.stderr
        assert (done.stderr.count("error: "), "Traceback" in done.stderr) == (ended * len(commands), False), done.stderr
