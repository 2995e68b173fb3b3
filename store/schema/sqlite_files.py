"""The SQLite files of an installation: private to its user, and readable where nothing may be written."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote


def make_private(path: Path) -> None:
    """Create a file for its owner alone (0600), and its missing folders (0700). What exists keeps its mode.

    SQLite gives the files beside a database the mode of the database. Raises `OSError`.
    """
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    # A file that exists is not even opened: closing it would end every lock that SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def reading_uri(path: Path) -> str:
    """The URI by which SQLite reads a file. Where its folder cannot be written, such as on a read-only medium, SQLite
    can keep no index of the write-ahead log there: a file without such a log is read as one that nobody changes.
    """
    log = path.with_name(f"{path.name}-wal")
    whole = not log.exists() or not log.stat().st_size
    unchanging = whole and not os.access(path.parent, os.W_OK)
    return f"file:{quote(str(path))}?mode=ro{'&immutable=1' if unchanging else ''}"
