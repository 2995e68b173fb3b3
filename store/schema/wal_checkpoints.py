"""Checkpoints of SQLite's write-ahead log (WAL) in a background thread.

A checkpoint copies committed pages into the database file. If the commit that fills the log performed it, the writer
would stop for the copy and the sync, a tenth of its time. A checkpoint needs neither a lock of the writer nor the
Python interpreter, so a thread runs it on another core.
"""

import sqlite3
import threading
from typing import Any, Final

from sqlalchemy import Engine, event

# Commits between checkpoints: few enough that a page which every batch changes is not copied for each of them.
CHECKPOINT_INTERVAL: Final = 4
RESTART_PAGES: Final = 16_000
"""Size of the log, in pages (64 MB), from which it is restarted even if the writer must wait. SQLite restarts it when
no reader is active; with readers at every moment it would grow without bound and slow down every read and commit.
"""
RESTART_TIMEOUT_SECONDS: Final = 1.0
"""Longest time the writer waits for readers during a restart. Pages are read much sooner; an export of all rows is not.
"""


class BackgroundCheckpointer:
    """Checkpoints the SQLite file `path` in its own thread after every few commits. `stop` ends it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._commits = 0
        self._due = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """Count a committed transaction."""
        self._commits += 1
        if self._commits % CHECKPOINT_INTERVAL == 0:
            self._due.set()

    def stop(self) -> None:
        """End the thread. SQLite checkpoints the rest when the last connection closes."""
        self._stopping = True
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=RESTART_TIMEOUT_SECONDS)
        restart_pages = RESTART_PAGES
        try:
            while self._due.wait() and not self._stopping:
                self._due.clear()
                # A passive checkpoint copies what it can and blocks nobody. The writer meets a full disk as well and
                # reports it.
                try:
                    ((_, pages, _),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                    if pages >= restart_pages:
                        ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                        restart_pages = pages + RESTART_PAGES if busy else RESTART_PAGES
                except sqlite3.Error:
                    continue
        finally:
            connection.close()


def checkpoint_in_background(engine: Engine) -> None:
    """Checkpoint the commits of `engine`, a SQLite file, in the background until the engine is disposed of."""
    path = engine.url.database
    if not path or path == ":memory:":
        return
    running: list[BackgroundCheckpointer] = []

    @event.listens_for(engine, "commit")
    def _(_connection: Any) -> None:
        if not running:
            running.append(BackgroundCheckpointer(path))
        running[0].committed()

    @event.listens_for(engine, "engine_disposed")
    def _(_engine: Any) -> None:
        while running:
            running.pop().stop()
