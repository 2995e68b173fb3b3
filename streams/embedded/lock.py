"""The lock that admits one writer to an embedded log."""

import fcntl
import os
from pathlib import Path
from typing import IO

from store.schema.sqlite_files import make_private
from streams.log import LogBusy, LogFailed


def acquire_lock(path: Path) -> IO[str]:
    """Lock the file `<log>.lock` and write the process id into it. The system releases the lock when the process ends.

    Raises `LogBusy` if another process holds it, `LogFailed` if the file cannot be written.
    """
    try:
        locked = path.with_name(path.name + ".lock")
        make_private(locked)
        lock = open(locked, "a+", encoding="ascii")  # noqa: SIM115 - held until `close`
    except OSError as error:
        raise LogFailed(
            f"The event log {path} cannot be written ({error}): check the path and its permissions."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise LogBusy(
            f"Another process (id {holder}) writes to the event log {path}",
            "stop it first. An embedded log has one writer; where several must write at a time, use Kafka.",
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
