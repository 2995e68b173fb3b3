"""Copies of an embedded log and a SQLite store: taken while a worker goes on, and put back (R74).

The store first: a log that is newer than its store is what every start of a worker meets.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import make_url

from engine.errors import QueryError, StoreError
from store.schema.database import shown_url
from store.schema.sqlite_files import make_private, reading_uri
from streams.embedded.salvage import check_whole
from tieout.bootstrap import open_store
from tieout.settings import Settings

PAGES_AT_ONCE: Final = 2_000
BY_THEIR_OWN_TOOLS: Final = (
    "`tieout backup` copies an embedded log and a SQLite store. Back up PostgreSQL by `pg_dump`, and the topics by "
    'your broker\'s tools (docs/operating.md, "Backup and restore").'
)

Report = Callable[[str, int, int], None]
"""Told which file is copied, and how many of how many pages are."""


class Copied(msgspec.Struct, frozen=True):
    """A file that was copied: `store` or `log`, from where, to where, and its size in bytes. `left`: the target was
    there already, and is as it was.
    """

    what: str
    source: Path
    target: Path
    size: int
    left: bool = False


def back_up(settings: Settings, folder: Path, on_progress: Report = lambda what, done, total: None) -> Iterator[Copied]:
    """Copy what is in files into a folder, which is made if need be, and hold each copy to its own checks. Raises
    `QueryError` where nothing is in files or the folder has a copy already, and what the checks raise.
    """
    files = _files(settings)
    for what, source in files.items():
        if not source.exists():
            raise QueryError(f"the {what} {source} does not exist: there is nothing to back up.")
        if (target := _copy_of(folder, what)).exists():
            raise QueryError(f"{target} exists: name another folder, or move it away.")
    for what, source in files.items():
        yield _copied(settings, what, source, _copy_of(folder, what), on_progress)


def restore(settings: Settings, folder: Path, on_progress: Report = lambda what, done, total: None) -> Iterator[Copied]:
    """Copy a backup to where the settings say that store and log are. What is there stays. Raises as `back_up`."""
    files = _files(settings)
    for what, target in files.items():
        if not target.exists() and not (source := _copy_of(folder, what)).exists():
            raise QueryError(f"there is no backup of the {what} in {folder}: {source.name} is missing.")
        for beside in (target.with_name(f"{target.name}{end}") for end in ("-wal", "-shm")):
            # SQLite would take it for the newest part of the file that is restored.
            if beside.exists() and not target.exists():
                raise QueryError(f"{beside} is left of a {what} that is gone: move it away first.")
    for what, target in files.items():
        source = _copy_of(folder, what)
        if target.exists():
            yield Copied(what, source, target, target.stat().st_size, left=True)
        else:
            yield _copied(settings, what, source, target, on_progress)


def _files(settings: Settings) -> dict[str, Path]:
    files = {name: path for name, path in (("store", _store_file(settings)), ("log", settings.log_file)) if path}
    if not files:
        raise QueryError(BY_THEIR_OWN_TOOLS)
    return files


def not_copied(settings: Settings) -> str | None:
    """What of an installation is not in files, and how it is backed up; None when all of it is."""
    if settings.log_file is None:
        return f"the topics are at {settings.broker}: back them up by your broker's tools."
    if _store_file(settings) is None:
        return f"the store is {shown_url(settings.store)}: back it up by `pg_dump`."
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
        _keep(unfinished, target)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the {what} {source} cannot be copied: {error}. Nothing was put in place of {target}."
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return Copied(what, source, target, target.stat().st_size)


def _store_file(settings: Settings) -> Path | None:
    url = make_url(settings.store)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _copy(source: Path, target: Path, on_progress: Callable[[int, int], None]) -> None:
    """One state of a database, whoever writes to it meanwhile."""
    with (
        closing(sqlite3.connect(reading_uri(source), uri=True, isolation_level=None)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        # The transaction holds the state; without it, each page that somebody writes would begin the copy anew.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(
            writing, pages=PAGES_AT_ONCE, progress=lambda _, left, total: on_progress(total - left, total), sleep=0
        )
        # One file, without a write-ahead log beside it.
        writing.execute("PRAGMA journal_mode=DELETE")


def _check_store(settings: Settings, file: Path) -> None:
    with closing(sqlite3.connect(reading_uri(file), uri=True)) as copy:
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise StoreError(f"the copy {file} of the store is damaged ({said}): look at the disk, and back up again.")
    with open_store(msgspec.structs.replace(settings, store=f"sqlite:///{file}"), write=False):
        pass


def _keep(unfinished: Path, target: Path) -> None:
    """Give a copy its name once it is on the disk."""
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
