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
    text,
)

from store.lease import Lease
from store.projection.outgoing import Outgoing
from store.schema import tables
from store.schema.bulk_sql import chunks, delete, select_keys, upsert

TOPIC: Final = "state"
"""The topic's name without the prefix."""
OFFSET_SETTING: Final = "state place"
"""The setting that says how far the store and the topic are one: a `StateTopicOffset`."""
APPLIED: Final = "applied "
"""The settings that say up to which place of the commands topic requests were handed to the attempt log."""
JOB_DAYS: Final = "job sync "
"""The settings with the last day of each company's recurring job. Turns of other jobs last a moment."""
PIN: Final = "pin "
"""The settings that say which environment events come from: `store.operational.pins`."""

_OF_RUNS: Final = '["run'
"""How the keys of sync runs and their documents begin."""
_AT_ONCE: Final = 500
_json: Final = msgspec.json.Encoder().encode
_read: Final = msgspec.json.Decoder().decode
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError, IndexError, RecursionError)
_LARGEST: Final = {True: 2**63 - 1, False: 2**31 - 1}
"""Of a column, by whether it is a BigInteger."""
_LARGEST_NUMBER: Final = 2**62

Key = tuple[Any, ...]
"""The kind of a row and its primary key."""


class StateTable(msgspec.Struct, frozen=True):
    """A table that is kept. Its columns `transient` are not published; the values are what they become when a row
    is read back. `objects` hold JSON objects as text. `names`: of the settings, those whose names begin so.
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
    "setting": StateTable(tables.settings, name_prefixes=(APPLIED, JOB_DAYS, PIN)),
}
"""By kind, the first part of a record's key. A table comes in, or a column goes out, with a migration that makes the
triggers again (0017).
"""


class StateTopicOffset(msgspec.Struct, frozen=True):
    """Up to where a store and its state topic are one: the topic's identity, the next offset, and a digest of the
    record before it, None where that is not known.
    """

    identity: str | None = None
    next: int = 0
    last: str | None = None


class StateRecord(msgspec.Struct, frozen=True):
    """The value of a record: the number of the change, and the row as JSON has it. A row that is gone has none."""

    number: int
    row: dict[str, Any]


class PendingRecord(msgspec.Struct, frozen=True):
    """A row that changed since the topic got it, with the number of its last change, and what is published of it."""

    number: int
    outgoing: Outgoing


_decode: Final = msgspec.json.Decoder(StateRecord).decode
_decode_offset: Final = msgspec.json.Decoder(StateTopicOffset).decode


def key_of(key: Key) -> bytes:
    """The key of a row's record: a JSON array of the kind and the primary key."""
    return _json(list(key))


def record_digest(key: bytes | None, value: bytes | None) -> str:
    """What tells a record from any other."""
    return blake2b(_pack((key, value)), digest_size=16).hexdigest()


class StateOutbox:
    """What the worker that projects publishes of the state. Raises what the database raises, and `LeaseLost`."""

    def __init__(self, engine: Engine, lease: Lease | None = None) -> None:
        self._engine = engine
        self._lease = lease

    def pending(self, limit: int) -> list[PendingRecord]:
        """The rows that changed, in the order of their last changes, those of sync runs last: no call waits for them.
        Each is as it is now, be that later.
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

    def acknowledge(self, changed: Sequence[PendingRecord], next_: int) -> bool:
        """These were acknowledged by the topic, which goes on at offset `next_`. False when that is no further than
        before: the topic was made again, and all of the state is to be published once more.
        """
        last = changed[-1].outgoing
        with self._engine.begin() as connection:
            known = load_offset(connection) or StateTopicOffset()
            goes_on = next_ > known.next
            _delete_published(connection, [one.number for one in changed])
            if not goes_on:
                republish(connection)
            save_offset(
                connection,
                StateTopicOffset(known.identity if goes_on else None, next_, record_digest(last.key, last.value)),
            )
            if self._lease is not None:
                self._lease.renew(connection)
        return goes_on


def _delete_published(connection: Connection, numbers: Sequence[int]) -> None:
    """Delete changes that were published. One that somebody is replacing at this moment stays, and is published again:
    to wait for him could be to wait for each other.
    """
    table = tables.state_outbox
    for some in chunks(numbers, _AT_ONCE):
        found = select(table.c.number).where(table.c.number.in_(some)).with_for_update(skip_locked=True)
        free = connection.scalars(found).all()
        connection.execute(table.delete().where(table.c.number.in_(free)))


def load_offset(connection: Connection) -> StateTopicOffset | None:
    """Up to where the store and the topic are one; None for a store that has read nothing of it yet."""
    value = tables.settings.c.value
    found = connection.execute(select(value).where(tables.settings.c.name == OFFSET_SETTING)).scalar()
    return None if found is None else _decode_offset(found)


def save_offset(connection: Connection, now: StateTopicOffset) -> None:
    """Keep up to where the store and the topic are one."""
    upsert(connection, tables.settings, [(OFFSET_SETTING, _json(now).decode())])


def is_unpublished(connection: Connection, kind: str, rows: Select[Any]) -> bool:
    """Whether one of these rows, each given by its primary key, changed since the topic got it."""
    own = rows.subquery()
    array = func.jsonb_build_array if connection.dialect.name == "postgresql" else func.json_array
    key = cast(array(literal(kind, Text), *own.columns), Text)
    return connection.scalar(select(exists().where(tables.state_outbox.c.key.in_(select(key))))) or False


def restore(connection: Connection, records: Mapping[bytes, bytes | None], *, overwrite: bool) -> list[str]:
    """Take over what the topic says: by key the newest value, None for a tombstone. A row that changed here since, and
    was not published, stays as it is, unless `overwrite` are to be taken.

    Returns what cannot be read, each with the reason. A record of a kind, or with a column, that is unknown here comes
    from another version, and is left to it.
    """
    newer = {} if overwrite else _unpublished(connection)
    unreadable: list[str] = []
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    gone: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    highest = 0
    for name, value in records.items():
        try:
            key, record = tuple(_read(name)), None if value is None else _decode(value)
            kept = STATE_TABLES.get(key[0])
            if kept is not None:
                _check_key(kept, key)
            row = _row(kept, key, record.row) if kept is not None and record is not None else None
        except _UNREADABLE as error:
            unreadable.append(f"{name[:200]!r}: {str(error)[:200] or type(error).__name__}")
            continue
        number = 0 if record is None else min(record.number, _LARGEST_NUMBER)
        highest = max(highest, number)
        if kept is None or newer.get(key, -1) >= number:
            continue
        (found if row is not None else gone)[key[0]].append(key[1:] if row is None else row)
    # So that changes from now on have numbers above those on the topic.
    _continue_numbers_after(connection, highest)
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
    # The triggers noted what was just taken, and the topic has it. Left there, these notes would count as changes of
    # this store, and keep what the topic says of the same rows further on.
    _delete_published(connection, [number for key, number in _unpublished(connection).items() if key in taken])
    return unreadable


def republish(connection: Connection) -> None:
    """Have all of the state published, for a topic that lacks some of it."""
    known = {tuple(_read(row.key)) for row in connection.execute(select(tables.state_outbox.c.key))}
    for some in chunks((key for key, _ in contents(connection) if key not in known), _AT_ONCE):
        connection.execute(tables.state_outbox.insert(), [{"key": key_of(key).decode()} for key in some])


def contents(connection: Connection) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The state, kind by kind in the order of the keys: the key of each row and the row as JSON has it."""
    for kind, kept in STATE_TABLES.items():
        table = kept.table
        query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=1_000)
        if kept.name_prefixes:
            query = query.where(_has_prefix(kept))
        width = len(table.primary_key.columns)
        for row in connection.execute(query):
            yield (kind, *row[:width]), _as_json(kept, row)


def pending_count(connection: Connection) -> int:
    """How many rows the topic does not have yet as they are."""
    return connection.execute(select(func.count()).select_from(tables.state_outbox)).scalar_one()


def unpublished(connection: Connection) -> set[Key]:
    """The keys of the rows that changed since the topic got them."""
    return set(_unpublished(connection))


def decode_records(records: Mapping[bytes, bytes | None]) -> dict[Key, dict[str, Any]]:
    """What records of the topic say, by key the newest value: as `contents`, without what cannot be read here."""
    found = {}
    for name, value in records.items():
        with suppress(*_UNREADABLE):
            key = tuple(_read(name))
            if value is not None and key[0] in STATE_TABLES:
                found[key] = _decode(value).row
    return found


def dump_line(key: Key, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the state as a line of `tieout dump --state`."""
    return {"state": key[0], "key": list(key[1:]), "row": dict(row)}


def _unpublished(connection: Connection) -> dict[Key, int]:
    table = tables.state_outbox
    return {tuple(_read(row.key)): row.number for row in connection.execute(select(table).order_by(table.c.number))}


def _rows_of(connection: Connection, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
    """The rows of these keys as JSON has them; none for one that is gone."""
    by_kind: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for key in keys:
        by_kind[key[0]].append(key[1:])
    found = {}
    for kind, own in by_kind.items():
        kept, width = STATE_TABLES[kind], len(STATE_TABLES[kind].table.primary_key.columns)
        for some in chunks(own, _AT_ONCE):
            for row in select_keys(connection, kept.table, some):
                found[kind, *row[:width]] = _as_json(kept, row)
    return found


def _as_json(kept: StateTable, row: Sequence[Any]) -> dict[str, Any]:
    return {
        column.name: _unpack(value) if isinstance(column.type, LargeBinary) else value
        for column, value in zip(kept.table.columns, row, strict=True)
        if column.name not in kept.transient
    }


def _check_key(kept: StateTable, key: Key) -> None:
    """Raise `ValueError` for a key that is none of the table's rows."""
    columns = kept.table.primary_key.columns
    if len(key) != 1 + len(columns):
        raise ValueError(f"the key has {len(key) - 1} parts and must have {len(columns)}")
    for column, value in zip(columns, key[1:], strict=True):
        _check_value(column, value)
    if kept.name_prefixes and not key[1].startswith(kept.name_prefixes):
        raise ValueError("the setting is none that is kept")


def _check_value(column: Column[Any], value: Any) -> None:
    """Raise `ValueError` for what a column cannot hold, on either database."""
    if type(value) is not column.type.python_type:
        raise ValueError(f"the column {column.name!r} is no {column.type.python_type.__name__}")
    if isinstance(value, int) and abs(value) > _LARGEST[isinstance(column.type, BigInteger)]:
        raise ValueError(f"the column {column.name!r} is a number that is too large")
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"the column {column.name!r} holds the character NUL")


def _row(kept: StateTable, key: Key, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row of the table from one of the topic. Raises `ValueError` for what is none."""
    values = []
    for column in kept.table.columns:
        value = kept.transient.get(column.name, row.get(column.name))
        if value is None and not column.nullable:
            raise ValueError(f"the column {column.name!r} is missing")
        if value is not None and isinstance(column.type, LargeBinary):
            value = _pack(value)
        elif value is not None:
            _check_value(column, value)
        if column.name in kept.json_columns and not isinstance(_read(value), dict):
            raise ValueError(f"the column {column.name!r} is no JSON object")
        values.append(value)
    width = len(kept.table.primary_key.columns)
    if tuple(values[:width]) != key[1:]:
        raise ValueError("the row has another key than its record")
    return tuple(values)


def _has_prefix(kept: StateTable) -> Any:
    """As the triggers have it: SQLite's LIKE takes capitals for small letters."""
    column = kept.table.primary_key.columns[0]
    return or_(*(func.substr(column, 1, len(name)) == name for name in kept.name_prefixes))


def _continue_numbers_after(connection: Connection, number: int) -> None:
    """Give changes from now on numbers above this one."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT number_state_after(:number)"), {"number": number})
        return
    name = {"name": tables.state_outbox.name, "number": number}
    moved = connection.execute(
        text("UPDATE sqlite_sequence SET seq = max(seq, :number) WHERE name = :name"), name
    ).rowcount
    if not moved:
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), name)
