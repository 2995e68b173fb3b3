"""SQLite files of an installation: private to its user, and readable on read-only media."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote


def make_private(path: Path) -> None:
    """Create a file with mode 0600, and its missing folders with mode 0700. Existing files keep their mode.

    SQLite gives the files beside a database the mode of the database. Raises `OSError`.
    """
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    # An existing file is not opened: closing it would release every lock that SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def reading_uri(path: Path) -> str:
    """Return the URI for reading a SQLite file.

    In a folder without write permission, such as a read-only medium, SQLite cannot create the index of the write-ahead
    log. A file without such a log is opened as immutable there.
    """
    log = path.with_name(f"{path.name}-wal")
    whole = not log.exists() or not log.stat().st_size
    unchanging = whole and not os.access(path.parent, os.W_OK)
    return f"file:{quote(str(path))}?mode=ro{'&immutable=1' if unchanging else ''}"
