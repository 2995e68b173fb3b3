"""SQLite restarts its write-ahead log, even with concurrent readers."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from store.schema import wal_checkpoints
from store.schema.database import connect, migrate


def read_until(ended: threading.Event, begun: threading.Event, readers: Engine) -> None:
    """Read at every moment: a transaction ends only after the next one has begun."""
    with ExitStack() as last:
        while not ended.is_set():
            with ExitStack() as stack:
                connection = stack.enter_context(readers.connect())
                stack.enter_context(connection.begin())
                connection.execute(text("SELECT count(*) FROM settings")).scalar_one()
                last.close()
                last.push(stack.pop_all())
            begun.set()
            ended.wait(0.002)


def log_of(store: Path) -> bytes:
    """Return the salt in the header of the write-ahead log, which changes when the log restarts."""
    with Path(f"{store}-wal").open("rb") as log:
        return log.read(24)[16:]


def test_the_log_is_begun_anew_while_somebody_reads_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal_checkpoints, "RESTART_PAGES", 100)
    store = tmp_path / "store.sqlite"
    writer, readers = connect(f"sqlite:///{store}", write=True), connect(f"sqlite:///{store}")
    migrate(writer)
    ended, begun = threading.Event(), threading.Event()
    thread = threading.Thread(target=read_until, args=(ended, begun, readers))
    thread.start()
    assert begun.wait(20)
    logs: set[bytes] = set()
    number, latest = 0, time.monotonic() + 20
    while len(logs) < 4 and time.monotonic() < latest:
        number += 1
        with writer.begin() as connection:
            row = {"name": str(number), "value": "x" * 50_000}
            connection.execute(text("INSERT INTO settings VALUES (:name, :value)"), row)
        logs.add(log_of(store))
    ended.set()
    thread.join()
    with readers.connect() as connection:
        kept = connection.execute(text("SELECT count(*) FROM settings")).scalar_one()
    writer.dispose()
    readers.dispose()
    assert len(logs) == 4
    assert kept == number
