"""What a person reads when a command fails: a clear message, never a traceback for what a person can mend."""

import os
import sys
from collections.abc import Callable

from engine.errors import TieoutError

INTERRUPTED = 130
# As typer has it, which catches most of them.
BROKEN_PIPE = 1


def guarded(command: Callable[[], object]) -> int:
    """Run a command and return its exit code; a fault that a person can mend is told, any other is raised."""
    try:
        code = _exit_code(command)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # What is still buffered goes nowhere: else Python complains about it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        told = message(error)
        if told is None:
            raise
        complain(told)
        return 1


def _exit_code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def complain(text: str) -> None:
    """Tell of a fault on standard error."""
    from tieout.cli.output import plain

    sys.stderr.write("".join(f"error: {plain(line)}\n" for line in text.splitlines() or [""]))
    sys.stderr.flush()


def message(error: Exception) -> str | None:
    """What to tell a person about an error; None when it is a fault of the program."""
    if isinstance(error, TieoutError):
        return str(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror or error}."
    from sqlalchemy.exc import DatabaseError

    return _of_store(str(error.orig)) if isinstance(error, DatabaseError) else None


def _of_store(reason: str) -> str | None:
    told = {
        "database is locked": "another process holds the store for longer than a worker should: end it, or try again.",
        "disk is full": "the disk of the store is full: make room, then start again; nothing was applied by halves.",
        "disk I/O error": "the disk of the store fails (disk I/O error): check it, then start again.",
        "readonly database": "the store may only be read: check the permissions of its file and folder.",
        "unable to open": "the store's file cannot be opened: check TIEOUT_STORE, its folder and permissions.",
        "permission denied": f"the database refuses its user: {reason.strip()}; docs/operating.md lists the rights.",
        "malformed": "the store's file is damaged: move it away, and a worker rebuilds it from the topics.",
        "No space left": "the disk of the store is full: make room, then start again; nothing was applied by halves.",
        "connection": f"the database of the store does not answer: {reason.strip()}",
    }
    return next((text for part, text in told.items() if part in reason), None)
