"""SQLite's checkpoints beside the writer: moving committed pages from the write-ahead log into the database file.

Left to the commit that finds the log full, a checkpoint stops the writer for as long as it copies and syncs, a tenth of
its time. It needs no lock that the writer holds and no Python, so a thread of its own does it on the other core.
"""

import sqlite3
import threading
from typing import Any, Final

from sqlalchemy import Engine, event

# Seldom enough that a page which every batch changes is not copied for each of them.
CHECKPOINT_INTERVAL: Final = 4
RESTART_PAGES: Final = 16_000
"""From so many pages on (64 MB) the log is begun anew, even if the writer must wait for that. It does so by itself when
nobody reads; where somebody reads at every moment, it would grow for ever, and each read and commit take longer.
"""
RESTART_TIMEOUT_SECONDS: Final = 1.0
"""How long the writer waits then for those who read at most. A page is read much sooner, a file of all rows is not."""


class BackgroundCheckpointer:
    """Checkpoints the SQLite file `path` from its own thread after every few commits. `stop` ends it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._commits = 0
        self._due = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """A transaction was committed."""
        self._commits += 1
        if self._commits % CHECKPOINT_INTERVAL == 0:
            self._due.set()

    def stop(self) -> None:
        """End the thread; what is left, SQLite checkpoints when the last connection closes."""
        self._stopping = True
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=RESTART_TIMEOUT_SECONDS)
        long = RESTART_PAGES
        try:
            while self._due.wait() and not self._stopping:
                self._due.clear()
                # Passive: it copies what it may and nobody waits. A full disk meets the writer as well, who tells.
                try:
                    ((_, pages, _),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                    if pages >= long:
                        ((waited_in_vain, _, _),) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                        long = pages + RESTART_PAGES if waited_in_vain else RESTART_PAGES
                except sqlite3.Error:
                    continue
        finally:
            connection.close()


def checkpoint_in_background(engine: Engine) -> None:
    """Have the commits of `engine`, a SQLite file, checkpointed beside the writer until the engine is disposed of."""
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
