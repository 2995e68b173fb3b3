"""The rows that notices ask for (R5): from the commands topic to the APIs, and back to the change topics."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import structlog

from engine.changes import UNDATED
from engine.cursors import Cursor, Cursors
from engine.values import parse_time
from handlers.errors import TargetError, Throttled, Transient
from handlers.events import SourceEvent
from handlers.reread import Rereader
from streams.log import EventLog, LogRecord
from streams.topics import COMMANDS

log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 8 * 1024 * 1024


def read_again(
    event_log: EventLog,
    prefix: str,
    rereader: Rereader,
    cursors: Cursors,
    send: Callable[[Sequence[SourceEvent]], None],
) -> list[Cursor]:
    """Read every row that was asked for since last time; the cursor of each partition of the commands topic.

    A notice whose row cannot be read now is tried again next time, and those after it wait; one that never can be is
    logged and passed over: the poller brings its row.
    """
    topic = COMMANDS.full_name(prefix)
    return [
        _partition(event_log, topic, number, rereader, cursors, send) for number in range(event_log.partitions(topic))
    ]


def _partition(
    event_log: EventLog,
    topic: str,
    number: int,
    rereader: Rereader,
    cursors: Cursors,
    send: Callable[[Sequence[SourceEvent]], None],
) -> Cursor:
    name = f"{COMMANDS.name}/{number}"
    cursor = cursors.load(name) or Cursor(table=name)
    start = event_log.start_offset(topic, number)
    offset = max(start, int(cursor.link or 0))
    rows = 0
    while records := event_log.read(topic, number, offset, AT_ONCE, _BYTES_AT_ONCE):
        for place, command in _wanted(records):
            try:
                events = rereader.read(command)
            except (Transient, Throttled) as error:
                return _saved(cursors, cursor, place, rows, str(error))
            except TargetError as error:
                log.warning("notice_not_read", entity=command.get("entity"), error=str(error))
                continue
            send(events)
            rows += 1
        offset = records[-1].offset + 1
        cursor = _saved(cursors, cursor, offset, rows, "")
    return msgspec.structs.replace(cursor, rows=rows)


def _saved(cursors: Cursors, cursor: Cursor, offset: int, rows: int, fault: str) -> Cursor:
    cursor = msgspec.structs.replace(cursor, link=str(offset), rows=rows, fault=fault)
    cursors.save(cursor)
    return cursor


def _time(text: object) -> int:
    at = parse_time(text) if isinstance(text, str) else None
    return UNDATED if at is None else at


def _wanted(records: Sequence[LogRecord]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The re-read commands with their offsets. Of several about one row only the last is returned, with the latest of
    their times: one answer serves all.
    """
    commands: dict[object, tuple[int, dict[str, Any]]] = {}
    for record in records:
        try:
            command = msgspec.json.decode(record.value or b"null")
        except msgspec.DecodeError:
            continue
        if isinstance(command, dict) and command.get("command") == "read":
            row = (command.get("source"), command.get("entity"), command.get("id"))
            about = row if command.get("id") else record.offset
            if about in commands:
                _, earlier = commands.pop(about)
                command["at"] = max((command.get("at"), earlier.get("at")), key=_time)
            commands[about] = record.offset, command
    yield from commands.values()
