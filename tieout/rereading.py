"""The rows that notices ask for (R5): from the commands topic to the APIs, and back to the change topics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from engine.changes import UNDATED
from engine.commands import RowRead
from engine.cursors import Cursor, Cursors
from engine.values import parse_time
from handlers.errors import TargetError, Throttled, Transient
from handlers.reread import Rereader
from streams.log import EventLog, LogRecord, NewRecord
from streams.topics import COMMANDS
from tieout.commands import record_of

log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 8 * 1024 * 1024


def read_again(
    event_log: EventLog,
    prefix: str,
    rereader: Rereader,
    cursors: Cursors,
    send: Callable[[Sequence[NewRecord]], object],
) -> list[Cursor]:
    """Read every row that was asked for since last time; the cursor of each partition of the commands topic.

    A notice whose row cannot be read now is tried again next time, and those after it wait; one that never can be is
    logged and passed over: the poller brings its row.
    What was read goes out (`send`) with word that the notice is answered, whatever there was of the row.
    """
    topic = COMMANDS.full_name(prefix)
    return [
        _partition(event_log, prefix, number, rereader, cursors, send) for number in range(event_log.partitions(topic))
    ]


def _partition(
    event_log: EventLog,
    prefix: str,
    number: int,
    rereader: Rereader,
    cursors: Cursors,
    send: Callable[[Sequence[NewRecord]], object],
) -> Cursor:
    topic, name = COMMANDS.full_name(prefix), f"{COMMANDS.name}/{number}"
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
            send([*(record_of(event, prefix) for event in events), *_answers(topic, command)])
            rows += 1
        offset = records[-1].offset + 1
        cursor = _saved(cursors, cursor, offset, rows, "")
    return msgspec.structs.replace(cursor, rows=rows)


def _saved(cursors: Cursors, cursor: Cursor, offset: int, rows: int, fault: str) -> Cursor:
    cursor = msgspec.structs.replace(cursor, link=str(offset), rows=rows, fault=fault)
    cursors.save(cursor)
    return cursor


def _answers(topic: str, command: Mapping[str, Any]) -> Iterator[NewRecord]:
    """Word that a command is answered; none of one that does not say what is needed to know it again."""
    row = command.get("rec_id") or command.get("id")
    said = {"id": row, **{name: command.get(name) for name in ("source", "entity", "at", "event_id")}}
    try:
        answer = msgspec.convert(said, RowRead)
    except msgspec.ValidationError:
        return
    key = row or answer.event_id or answer.entity
    yield NewRecord(topic, str(key).encode(), msgspec.json.encode(answer))


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
