"""The state topic: operational data that no event carries (attempts, sync runs, cursors, alerts, decisions of people).

The tables of `STATE_TABLES` are authoritative and the topic is their copy: a new store is restored from it. Database
triggers record every changed row in `state_outbox`, whichever process changes it. The projecting worker publishes the
current contents of those rows. Each record carries the number of its change, which increases across stores.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    LargeBinary,
    Select,
    Table,
    Text,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)

from store.lease import Lease
from store.projection.outgoing import Outgoing
from store.schema import tables
from store.schema.bulk_sql import chunks, delete, select_keys, upsert
from store.schema.dialects import dialect_of

TOPIC: Final = "state"
"""Name of the topic without prefix."""
OFFSET_SETTING: Final = "state place"
"""Setting with the offset up to which the store and the topic agree: a `StateTopicOffset`."""
APPLIED: Final = "applied "
"""Prefix of the settings with the offset of the commands topic up to which requests were handed to the attempt log."""
JOB_DAYS: Final = "job sync "
"""Prefix of the settings with the last day of each company's recurring job. Claims of other jobs are short-lived."""
PIN: Final = "pin "
"""Prefix of the settings with the pinned environments: `store.operational.pins`."""

_OF_RUNS: Final = '["run'
"""First characters of the keys of sync runs and their documents."""
_CHUNK: Final = 500
_json: Final = msgspec.json.Encoder().encode
_read: Final = msgspec.json.Decoder().decode
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError, IndexError, RecursionError)
_LARGEST: Final = {True: 2**63 - 1, False: 2**31 - 1}
"""Maximum of a column, by whether it is a BigInteger."""
_LARGEST_NUMBER: Final = 2**62

Key = tuple[Any, ...]
"""Kind of a row, followed by its primary key."""


class StateTable(msgspec.Struct, frozen=True):
    """A table that is copied to the topic.

    The columns `transient` are not published; their values are those of a restored row. `json_columns` hold JSON
    objects as text. `name_prefixes` restricts the settings to names with these prefixes.
    """

    table: Table
    transient: Mapping[str, Any] = {}
    json_columns: tuple[str, ...] = ()
    name_prefixes: tuple[str, ...] = ()


STATE_TABLES: Final[Mapping[str, StateTable]] = {
    "sync": StateTable(tables.syncs, {"holder": "", "until": 0}, json_columns=("parameters",)),
    "attempt": StateTable(tables.attempts),
    "run": StateTable(tables.sync_runs),
    "run-document": StateTable(tables.sync_run_documents),
    "cursor": StateTable(tables.cursors),
    "alert": StateTable(tables.alerts, {"until": 0}, json_columns=("detail",)),
    "deletion": StateTable(tables.deletions),
    "ledger-balance": StateTable(tables.ledger_balances),
    "setting": StateTable(tables.settings, name_prefixes=(APPLIED, JOB_DAYS, PIN)),
}
"""State tables by kind, the first part of a record key. Adding a table or removing a column needs a migration that
creates the triggers again (see 0017).
"""


class StateTopicOffset(msgspec.Struct, frozen=True):
    """Point up to which a store and its state topic agree: identity of the topic, next offset, and digest of the record
    before it (None if unknown).
    """

    identity: str | None = None
    next: int = 0
    last: str | None = None


class StateRecord(msgspec.Struct, frozen=True):
    """Value of a record: the number of the change, and the row as JSON. A deleted row has a tombstone."""

    number: int
    row: dict[str, Any]


class PendingRecord(msgspec.Struct, frozen=True):
    """A row with unpublished changes: the number of the last one, and the record to publish."""

    number: int
    outgoing: Outgoing


_decode: Final = msgspec.json.Decoder(StateRecord).decode
_decode_offset: Final = msgspec.json.Decoder(StateTopicOffset).decode


def key_of(key: Key) -> bytes:
    """Return the record key of a row: a JSON array of kind and primary key."""
    return _json(list(key))


def record_digest(key: bytes | None, value: bytes | None) -> str:
    """Return a digest that identifies a record."""
    return blake2b(_pack((key, value)), digest_size=16).hexdigest()


class StateOutbox:
    """Outbox of the state topic, for the projecting worker. Raises the errors of the database, and `LeaseLost`."""

    def __init__(self, engine: Engine, lease: Lease | None = None) -> None:
        self._engine = engine
        self._lease = lease

    def pending(self, limit: int) -> list[PendingRecord]:
        """Return the rows with unpublished changes, in the order of their last changes.

        Rows of sync runs come last, because no call waits for them. Each record has the current contents of its row.
        """
        with self._engine.connect() as connection:
            table = tables.state_outbox
            of_runs = case((func.substr(table.c.key, 1, len(_OF_RUNS)) == _OF_RUNS, 1), else_=0)
            found = connection.execute(select(table).order_by(of_runs, table.c.number).limit(limit)).all()
            keys = {row.number: tuple(_read(row.key)) for row in found}
            rows = _rows_of(connection, keys.values())
        return [
            PendingRecord(
                number,
                Outgoing(TOPIC, key_of(key), _json(StateRecord(number, rows[key])) if key in rows else None),
            )
            for number, key in keys.items()
        ]

    def acknowledge(self, records: Sequence[PendingRecord], next_: int) -> bool:
        """Delete acknowledged records; the next offset of the topic is `next_`.

        Returns False if the offset did not advance: the topic was re-created, and the complete state is to be published
        again.
        """
        last = records[-1].outgoing
        with self._engine.begin() as connection:
            stored = load_offset(connection) or StateTopicOffset()
            advanced = next_ > stored.next
            _delete_published(connection, [record.number for record in records])
            if not advanced:
                republish(connection)
            save_offset(
                connection,
                StateTopicOffset(stored.identity if advanced else None, next_, record_digest(last.key, last.value)),
            )
            if self._lease is not None:
                self._lease.renew(connection)
        return advanced


def _delete_published(connection: Connection, numbers: Sequence[int]) -> None:
    """Delete published changes.

    A change that another transaction is replacing is skipped and published again: waiting for it could be a deadlock.
    """
    table = tables.state_outbox
    for chunk in chunks(numbers, _CHUNK):
        found = select(table.c.number).where(table.c.number.in_(chunk)).with_for_update(skip_locked=True)
        free = connection.scalars(found).all()
        connection.execute(table.delete().where(table.c.number.in_(free)))


def load_offset(connection: Connection) -> StateTopicOffset | None:
    """Return the offset up to which store and topic agree; None for a store that has read none of it."""
    value = tables.settings.c.value
    found = connection.execute(select(value).where(tables.settings.c.name == OFFSET_SETTING)).scalar()
    return None if found is None else _decode_offset(found)


def save_offset(connection: Connection, now: StateTopicOffset) -> None:
    """Save the offset up to which store and topic agree."""
    upsert(connection, tables.settings, [(OFFSET_SETTING, _json(now).decode())])


def is_unpublished(connection: Connection, kind: str, rows: Select[Any]) -> bool:
    """Return True if one of these rows, given by primary key, has unpublished changes."""
    own = rows.subquery()
    key = cast(dialect_of(connection).json_array(literal(kind, Text), *own.columns), Text)
    return connection.scalar(select(exists().where(tables.state_outbox.c.key.in_(select(key))))) or False


def restore(connection: Connection, records: Mapping[bytes, bytes | None], *, overwrite: bool) -> list[str]:
    """Restore rows from records of the topic: the newest value by key, None for a tombstone.

    Unless `overwrite`, rows with unpublished changes are retained. Returns the unreadable records, each with the
    reason. A record of an unknown kind or with an unknown column comes from another version and is ignored.
    """
    newer = {} if overwrite else _unpublished(connection)
    unreadable: list[str] = []
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    gone: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    highest = 0
    for name, value in records.items():
        try:
            key, record = tuple(_read(name)), None if value is None else _decode(value)
            state_table = STATE_TABLES.get(key[0])
            if state_table is not None:
                _check_key(state_table, key)
            row = _row(state_table, key, record.row) if state_table is not None and record is not None else None
        except _UNREADABLE as error:
            unreadable.append(f"{name[:200]!r}: {str(error)[:200] or type(error).__name__}")
            continue
        number = 0 if record is None else min(record.number, _LARGEST_NUMBER)
        highest = max(highest, number)
        if state_table is None or newer.get(key, -1) >= number:
            continue
        (found if row is not None else gone)[key[0]].append(key[1:] if row is None else row)
    # Later changes must have higher numbers than those on the topic.
    dialect_of(connection).number_state_after(connection, highest)
    for kind, rows in found.items():
        upsert(connection, STATE_TABLES[kind].table, rows)
    for kind, keys in gone.items():
        table = STATE_TABLES[kind].table
        delete(connection, table, [column.name for column in table.primary_key.columns], keys)
    taken = {
        (kind, *row[: len(STATE_TABLES[kind].table.primary_key.columns)])
        for kind, rows in found.items()
        for row in rows
    }
    taken |= {(kind, *key) for kind, keys in gone.items() for key in keys}
    # The triggers also recorded the rows just restored, which the topic has. Left in the outbox, they would count as
    # local changes and protect the rows from later records of the topic.
    _delete_published(connection, [number for key, number in _unpublished(connection).items() if key in taken])
    return unreadable


def republish(connection: Connection) -> None:
    """Mark the complete state for publishing, for a topic that lacks part of it."""
    known = {tuple(_read(row.key)) for row in connection.execute(select(tables.state_outbox.c.key))}
    for chunk in chunks((key for key, _ in contents(connection) if key not in known), _CHUNK):
        connection.execute(tables.state_outbox.insert(), [{"key": key_of(key).decode()} for key in chunk])


def contents(connection: Connection) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield the state by kind and key: the key of each row, and the row as JSON."""
    for kind, state_table in STATE_TABLES.items():
        table = state_table.table
        query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=1_000)
        if state_table.name_prefixes:
            query = query.where(_has_prefix(state_table))
        width = len(table.primary_key.columns)
        for row in connection.execute(query):
            yield (kind, *row[:width]), _as_json(state_table, row)


def pending_count(connection: Connection) -> int:
    """Return the number of rows with unpublished changes."""
    return connection.execute(select(func.count()).select_from(tables.state_outbox)).scalar_one()


def unpublished(connection: Connection) -> set[Key]:
    """Return the keys of the rows with unpublished changes."""
    return set(_unpublished(connection))


def decode_records(records: Mapping[bytes, bytes | None]) -> dict[Key, dict[str, Any]]:
    """Return the contents of records by key, in the form of `contents`. Unreadable records are skipped."""
    found = {}
    for name, value in records.items():
        with suppress(*_UNREADABLE):
            key = tuple(_read(name))
            if value is not None and key[0] in STATE_TABLES:
                found[key] = _decode(value).row
    return found


def dump_line(key: Key, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the state as a line of `tieout dump --state`."""
    return {"state": key[0], "key": list(key[1:]), "row": dict(row)}


def _unpublished(connection: Connection) -> dict[Key, int]:
    table = tables.state_outbox
    return {tuple(_read(row.key)): row.number for row in connection.execute(select(table).order_by(table.c.number))}


def _rows_of(connection: Connection, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
    """Return the rows of these keys as JSON, without deleted ones."""
    by_kind: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for key in keys:
        by_kind[key[0]].append(key[1:])
    found = {}
    for kind, own in by_kind.items():
        state_table, width = STATE_TABLES[kind], len(STATE_TABLES[kind].table.primary_key.columns)
        for chunk in chunks(own, _CHUNK):
            for row in select_keys(connection, state_table.table, chunk):
                found[kind, *row[:width]] = _as_json(state_table, row)
    return found


def _as_json(state_table: StateTable, row: Sequence[Any]) -> dict[str, Any]:
    return {
        column.name: _unpack(value) if isinstance(column.type, LargeBinary) else value
        for column, value in zip(state_table.table.columns, row, strict=True)
        if column.name not in state_table.transient
    }


def _check_key(state_table: StateTable, key: Key) -> None:
    """Raise `ValueError` unless a key may be one of the table."""
    columns = state_table.table.primary_key.columns
    if len(key) != 1 + len(columns):
        raise ValueError(f"the key has {len(key) - 1} parts and must have {len(columns)}")
    for column, value in zip(columns, key[1:], strict=True):
        _check_value(column, value)
    if state_table.name_prefixes and not key[1].startswith(state_table.name_prefixes):
        raise ValueError("the setting is none that is state_table")


def _check_value(column: Column[Any], value: Any) -> None:
    """Raise `ValueError` for a value that a column cannot hold on either database."""
    if type(value) is not column.type.python_type:
        raise ValueError(f"the column {column.name!r} is no {column.type.python_type.__name__}")
    if isinstance(value, int) and abs(value) > _LARGEST[isinstance(column.type, BigInteger)]:
        raise ValueError(f"the column {column.name!r} is a number that is too large")
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"the column {column.name!r} holds the character NUL")


def _row(state_table: StateTable, key: Key, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the row of the table for the row of a record. Raises `ValueError` if it is invalid."""
    values = []
    for column in state_table.table.columns:
        value = state_table.transient.get(column.name, row.get(column.name))
        if value is None and not column.nullable:
            raise ValueError(f"the column {column.name!r} is missing")
        if value is not None and isinstance(column.type, LargeBinary):
            value = _pack(value)
        elif value is not None:
            _check_value(column, value)
        if column.name in state_table.json_columns and not isinstance(_read(value), dict):
            raise ValueError(f"the column {column.name!r} is no JSON object")
        values.append(value)
    width = len(state_table.table.primary_key.columns)
    if tuple(values[:width]) != key[1:]:
        raise ValueError("the row has another key than its record")
    return tuple(values)


def _has_prefix(state_table: StateTable) -> Any:
    """Return the condition on names, equal to that of the triggers: SQLite's LIKE ignores case."""
    column = state_table.table.primary_key.columns[0]
    return or_(*(func.substr(column, 1, len(name)) == name for name in state_table.name_prefixes))
