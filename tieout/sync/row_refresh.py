"""Executes re-read requests (R5): reads the commands topic, calls the APIs and publishes to the change topics."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from engine.cursors import Cursor, Cursors
from engine.events.facts import UNDATED
from engine.mapping.values import parse_time
from engine.sync.commands import RowRead
from handlers.errors import Configuration, TargetError, Throttled, Transient
from handlers.row_refresh import RowReader
from streams.log import EventLog, LogRecord, NewRecord, RecordTooLarge
from streams.topics import COMMANDS
from tieout.sync.command_topic import record_of

log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 8 * 1024 * 1024


def reread_rows(
    event_log: EventLog,
    prefix: str,
    row_reader: RowReader,
    cursors: Cursors,
    send: Callable[[Sequence[NewRecord]], object],
    limit_reached: Callable[[int], bool] = lambda rows: False,
) -> list[Cursor]:
    """Read every row requested since the last pass and return the cursors that moved: one for each partition of the
    commands topic, and one for each table that could not be read before.

    `limit_reached` receives the number of rows read so far and ends the pass when it returns True. A table that cannot
    be read now does not block the others: it has a cursor of its own until it can be read. A notice whose row can never
    be read is logged and skipped, and the poller reads its row. `send` publishes the rows together with a `row-read`
    command, which confirms the notice even if there was no row.
    """
    reading = _Pass(event_log, prefix, row_reader, cursors, send, limit_reached)
    for number in range(event_log.partitions(reading.topic)):
        reading.read_partition(number)
    return reading.moved


class _Pass:
    """One pass over the commands topic."""

    def __init__(
        self,
        event_log: EventLog,
        prefix: str,
        row_reader: RowReader,
        cursors: Cursors,
        send: Callable[[Sequence[NewRecord]], object],
        limit_reached: Callable[[int], bool],
    ) -> None:
        self.topic = COMMANDS.full_name(prefix)
        self.moved: list[Cursor] = []
        self._log = event_log
        self._prefix = prefix
        self._rereader = row_reader
        self._cursors = cursors
        self._send = send
        self._enough = limit_reached
        self._rows = 0
        self._failed: dict[str, str] = {}

    def read_partition(self, number: int) -> None:
        """Execute the requests of one partition: first those of tables that could not be read, then all others."""
        self._failed.clear()
        name = f"{COMMANDS.name}/{number}"
        front = self._cursors.load(name) or Cursor(table=name)
        end = max(self._log.start_offset(self.topic, number), int(front.link or 0))
        for cursor in list(self._cursors.all()):
            if cursor.table.startswith(f"{name}/") and cursor.link is not None:
                self._continue(number, cursor, cursor.table.removeprefix(f"{name}/"), end)
        self._continue(number, front, None, None)

    def _continue(self, number: int, cursor: Cursor, entity: str | None, end: int | None) -> None:
        """Continue at a cursor: with the requests of one table up to the offset `end`, or with those of all tables that
        have not failed, up to the end of the partition.
        """
        before = self._rows
        offset = begun = max(self._log.start_offset(self.topic, number), int(cursor.link or 0))
        while (end is None or offset < end) and (
            records := self._log.read(self.topic, number, offset, AT_ONCE, _BYTES_AT_ONCE)
        ):
            requests = list(_requests(record for record in records if end is None or record.offset < end))
            for index, (_, command) in enumerate(requests):
                table = str(command["entity"])
                if entity not in (None, table) or table in self._failed:
                    continue
                if self._enough(self._rows):
                    self._save(cursor, min(first for first, _ in requests[index:]), before)
                    return
                if not self._read(command):
                    first = min(first for first, other in requests[index:] if other["entity"] == table)
                    own = Cursor(table=f"{COMMANDS.name}/{number}/{table}")
                    self._save(own, first, self._rows if entity is None else before, self._failed[table])
                    if entity is not None:
                        return
            offset = records[-1].offset + 1
        if entity is not None:
            self._save(cursor, None, before)
        elif offset > begun:
            self._save(cursor, offset, before)

    def _read(self, command: Mapping[str, Any]) -> bool:
        """Read one row; return False if its table cannot be read now, so that its other rows are skipped."""
        try:
            events = self._rereader.read(command)
        except (Transient, Throttled, Configuration) as error:
            self._failed[str(command["entity"])] = str(error)
            return False
        except TargetError as error:
            log.warning("notice_not_read", entity=command["entity"], error=str(error))
            return True
        try:
            self._send([*(record_of(event, self._prefix) for event in events), *_confirmation(self.topic, command)])
        except RecordTooLarge as error:
            log.warning("notice_not_read", entity=command["entity"], error=str(error))
            return True
        self._rows += 1
        return True

    def _save(self, cursor: Cursor, offset: int | None, before: int, fault: str = "") -> None:
        link = None if offset is None else str(offset)
        cursor = msgspec.structs.replace(cursor, link=link, rows=self._rows - before, fault=fault)
        self._cursors.save(cursor)
        self.moved.append(cursor)


def _confirmation(topic: str, command: Mapping[str, Any]) -> Iterator[NewRecord]:
    """Yield the `row-read` record that confirms a request; none if the request lacks the members that identify it."""
    row = command.get("rec_id") or command.get("id")
    members = {"id": row, **{name: command.get(name) for name in ("source", "entity", "at", "event_id")}}
    try:
        confirmation = msgspec.convert(members, RowRead)
    except msgspec.ValidationError:
        return
    key = row or confirmation.event_id or confirmation.entity
    yield NewRecord(topic, str(key).encode(), msgspec.json.encode(confirmation))


def _time(text: object) -> int:
    at = parse_time(text) if isinstance(text, str) else None
    return UNDATED if at is None else at


class _RereadRequest(msgspec.Struct):
    """The members of a valid re-read request."""

    command: str
    source: str
    entity: str
    id: str | None = None
    at: str | None = None
    company: str | None = None
    columns: dict[str, Any] = {}


def _requests(records: Iterable[LogRecord]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the re-read requests, each with its offset. Several requests for one row are merged into the last, with the
    offset of the first and the latest time, because one read serves all.
    """
    commands: dict[object, tuple[int, dict[str, Any]]] = {}
    for record in records:
        try:
            command = msgspec.json.decode(record.value or b"null")
            if not isinstance(command, dict) or command.get("command") != "read":
                continue
            msgspec.convert(command, _RereadRequest)
        except msgspec.MsgspecError:
            continue
        row = (command["source"], command["entity"], command.get("id"))
        key = row if command.get("id") else record.offset
        first = record.offset
        if key in commands:
            first, earlier = commands.pop(key)
            command["at"] = max((command.get("at"), earlier.get("at")), key=_time)
        commands[key] = first, command
    yield from commands.values()
