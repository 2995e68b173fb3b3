"""Backup and restore of an embedded log and a SQLite store, while a worker runs (R74).

The store is copied first, because a worker can always continue with a log that is newer than its store.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import QueryError, StoreError
from store.schema.database import shown_url
from store.schema.dialects import file_of
from store.schema.sqlite_files import make_private, reading_uri
from streams.embedded.salvage import check_whole
from tieout.bootstrap import open_store
from tieout.settings import Settings

PAGES_AT_ONCE: Final = 2_000
_SETTING: Final = {"store": "STORE", "log": "BROKER"}
NOT_IN_FILES: Final = (
    "`tieout backup` copies an embedded log and a SQLite store. Back up PostgreSQL with `pg_dump`, and the topics with "
    'your broker\'s tools (docs/operating.md, "Backup and restore").'
)

Report = Callable[[str, int, int], None]
"""Receives the file that is copied, the pages done and the pages in total."""


class Copied(msgspec.Struct, frozen=True):
    """A copied file: `what` is `store` or `log`, `size` is in bytes.

    `left` is True if the target existed and was not changed.
    """

    what: str
    source: Path
    target: Path
    size: int
    left: bool = False


def back_up(settings: Settings, folder: Path, on_progress: Report = lambda what, done, total: None) -> Iterator[Copied]:
    """Copy log and store to a folder, which is created if necessary, and verify each copy.

    Raises `QueryError` if neither is a file or the folder has a copy already, and what the verification raises.
    """
    files = _files(settings)
    for what, source in files.items():
        if not source.exists():
            raise QueryError(
                f"the {what} {source} does not exist, so there is nothing to back up. Check TIEOUT_{_SETTING[what]}."
            )
        if (target := _copy_of(folder, what)).exists():
            raise QueryError(f"{target} exists. Name another folder, or move it away.")
    for what, source in files.items():
        yield _copied(settings, what, source, _copy_of(folder, what), on_progress)


def restore(settings: Settings, folder: Path, on_progress: Report = lambda what, done, total: None) -> Iterator[Copied]:
    """Copy a backup to the configured files of store and log. Existing files stay. Raises like `back_up`."""
    files = _files(settings)
    for what, target in files.items():
        if not target.exists() and not (source := _copy_of(folder, what)).exists():
            raise QueryError(
                f"{folder} has no backup of the {what}: {source.name} is missing. Name the folder of a backup."
            )
        for leftover in (target.with_name(f"{target.name}{end}") for end in ("-wal", "-shm")):
            # SQLite would apply it to the restored file.
            if leftover.exists() and not target.exists():
                raise QueryError(f"{leftover} belongs to a {what} that no longer exists. Move it away first.")
    for what, target in files.items():
        source = _copy_of(folder, what)
        if target.exists():
            yield Copied(what, source, target, target.stat().st_size, left=True)
        else:
            yield _copied(settings, what, source, target, on_progress)


def _files(settings: Settings) -> dict[str, Path]:
    files = {name: path for name, path in (("store", file_of(settings.store)), ("log", settings.log_file)) if path}
    if not files:
        raise QueryError(NOT_IN_FILES)
    return files


def not_copied(settings: Settings) -> str | None:
    """Return which part of the installation is not in files, and how to back it up; None if all of it is."""
    if settings.log_file is None:
        return f"the topics are at {settings.broker}. Back them up with your broker's tools."
    if file_of(settings.store) is None:
        return f"the store is {shown_url(settings.store)}. Back it up with `pg_dump`."
    return None


def _copy_of(folder: Path, what: str) -> Path:
    return folder / f"{what}.sqlite"


def _copied(settings: Settings, what: str, source: Path, target: Path, on_progress: Report) -> Copied:
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    make_private(unfinished.absolute())
    try:
        _copy(source, unfinished, lambda done, total: on_progress(what, done, total))
        if what == "log":
            check_whole(unfinished)
        else:
            _check_store(settings, unfinished)
        _publish(unfinished, target)
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the {what} {source} cannot be copied: {error}. {target} was not created.") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return Copied(what, source, target, target.stat().st_size)


def _copy(source: Path, target: Path, on_progress: Callable[[int, int], None]) -> None:
    """Copy a consistent state of a database while others write to it."""
    with (
        closing(sqlite3.connect(reading_uri(source), uri=True, isolation_level=None)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        # The transaction keeps the snapshot. Without it, every write of another process would restart the copy.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(
            writing, pages=PAGES_AT_ONCE, progress=lambda _, left, total: on_progress(total - left, total), sleep=0
        )
        # A single file, without a write-ahead log.
        writing.execute("PRAGMA journal_mode=DELETE")


def _check_store(settings: Settings, file: Path) -> None:
    with closing(sqlite3.connect(reading_uri(file), uri=True)) as copy:
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreError(f"the copy {file} of the store is damaged ({verdict}). Check the disk, and back up again.")
    with open_store(msgspec.structs.replace(settings, store=f"sqlite:///{file}"), write=False):
        pass


def _publish(unfinished: Path, target: Path) -> None:
    """Rename a finished copy to its target once it is synced to the disk."""
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
