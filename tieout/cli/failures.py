"""Error messages of commands: no traceback for an error that a person can correct."""

import os
import sys
from collections.abc import Callable

from engine.errors import TieoutError

INTERRUPTED = 130
# The exit code of typer, which catches most of them itself.
BROKEN_PIPE = 1


def guarded(command: Callable[[], object]) -> int:
    """Run a command and return its exit code. Print an error that a person can correct; raise any other."""
    try:
        code = _exit_code(command)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Discard the buffered output, else Python reports it as an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        text = message(error)
        if text is None:
            raise
        complain(text)
        return 1


def _exit_code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def complain(text: str) -> None:
    """Print an error to standard error, each line with the prefix `error:`."""
    from tieout.cli.output import plain

    sys.stderr.write("".join(f"error: {plain(line)}\n" for line in text.splitlines() or [""]))
    sys.stderr.flush()


def message(error: Exception) -> str | None:
    """Return the message of an error for a person; None for a fault of the program."""
    if isinstance(error, TieoutError):
        return str(error)
    if isinstance(error, OSError):
        file = f"{error.filename}: " if error.filename is not None else ""
        return f"{file}{error.strerror or error}."
    from sqlalchemy.exc import DatabaseError

    return _of_store(str(error.orig)) if isinstance(error, DatabaseError) else None


_DISK_FULL = "the disk of the store is full. Free space, then start again; the last transaction was rolled back."


def _of_store(reason: str) -> str | None:
    messages = {
        "database is locked": "another process locks the store for too long. End it, or try again.",
        "disk is full": _DISK_FULL,
        "disk I/O error": "the disk of the store fails (disk I/O error). Check the disk, then start again.",
        "readonly database": "the store is read-only. Check the permissions of its file and folder.",
        "unable to open": "the store's file cannot be opened. Check TIEOUT_STORE, its folder and its permissions.",
        "permission denied": f"the database denies its user access: {reason.strip()}. See docs/operating.md.",
        "malformed": "the store's file is damaged. Move it away; a worker rebuilds it from the topics.",
        "No space left": _DISK_FULL,
        "connection": f"the database of the store is not reachable: {reason.strip()}",
    }
    return next((text for part, text in messages.items() if part in reason), None)
