"""Verifies the file of an embedded log, and copies its intact records into a new one.

Offsets and the identity of the log are preserved, so that a store continues with the new log at its offsets. Each lost
record is replaced by a placeholder without key and value, with the header `streams.log.LOST`; a worker puts it on the
rejected topic.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from streams.embedded.blocks import (
    ADVICE,
    INSERT_BLOCK,
    MOVE_END,
    OFFSET_MASK,
    PAGE_BYTES,
    Block,
    Broken,
    Item,
    Partition,
    block_checksum,
    count_partitions,
    encode,
    end_by_blocks,
    is_checked,
    items_of,
    log_checksum,
    new_identity,
    offsets,
    open_file,
    partition_checksum,
    translated,
    whole,
    written,
)
from streams.embedded.lock import acquire_lock
from streams.embedded.sqlite_pages import Pages
from streams.log import LOST, RECORD_BYTES_MAX, LogDamaged, LogFailed

LOST_AT_ONCE: Final = 1_000
"""Number of placeholders in one block."""
COMMITTED_BYTES: Final = 64 * 1024 * 1024

_ROW: Final = "SELECT place, topic, partition, checked, ends, checksum FROM partitions NOT INDEXED"
_NAMES: Final = "SELECT place, topic, partition FROM partitions INDEXED BY sqlite_autoindex_partitions_1"
_ROW_OF_BEFORE: Final = "SELECT place, topic, partition, NULL, NULL, NULL FROM partitions NOT INDEXED"
_FIRST_FROM: Final = "SELECT id, count, time, checksum, body FROM blocks WHERE id >= ? AND id < ? ORDER BY id LIMIT 1"
_LAST_BEFORE: Final = (
    "SELECT id, count, time, checksum, body FROM blocks WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
)
_GONE: Final = "what stood there cannot be found"

Report = Callable[[int], None]
"""Called with the number of records verified so far."""


class Stretch(msgspec.Struct, frozen=True):
    """Damaged records: the offsets from `first` up to, not including, `end`."""

    first: int
    end: int
    why: str


class PartitionState(msgspec.Struct):
    """State of a partition."""

    topic: str
    partition: int
    end: int
    """The offset after the last record."""
    checksums_from: int | None
    """The offset from which blocks have checksums; None if none have."""
    whole: int = 0
    """Number of intact records."""
    damaged: list[Stretch] = []
    lost: int = 0
    """Number of placeholders of records that an earlier salvage lost."""


class LogState(msgspec.Struct):
    """State of a log."""

    path: str
    identity: str | None
    """None for a log of the previous format, or if it cannot be read."""
    faults: list[str]
    """Faults other than damaged records."""
    partitions: list[PartitionState] = []

    @property
    def ok(self) -> bool:
        """Return True if nothing is damaged."""
        return not self.faults and not any(state.damaged for state in self.partitions)


def examine(path: Path, on_progress: Report = lambda records: None) -> LogState:
    """Verify a log, also while a worker writes to it. Raises `LogError` if it is missing or not a log."""
    with closing(open_file(path, "read")) as connection:
        state, partitions = _opened(connection, path)
        state.faults += _structure(connection)
        done = 0
        for partition in partitions:
            partition_state = _state_of(connection, partition, state)
            for piece in _walk(connection, partition, partition_state.end):
                _count(piece, partition_state)
                done += piece.end - (piece.base if isinstance(piece, Block) else piece.first)
                on_progress(done)
            state.partitions.append(partition_state)
    return state


def salvage(path: Path, to: Path, on_progress: Report = lambda records: None) -> LogState:
    """Copy the intact records of a log into a new one. Return the state of the old one, which is not changed.

    Raises `LogError` if the old one cannot be opened or another process writes to it, or if the new one exists.
    """
    if to.exists():
        raise LogFailed(f"{to} is there already: name a file that is not.")
    unfinished = to.with_name(to.name + ".unfinished")
    for leftover in _files(unfinished):
        leftover.unlink(missing_ok=True)
    with (
        closing(acquire_lock(path.absolute())),
        closing(open_file(path, "read")) as connection,
        path.open("rb") as file,
    ):
        state, partitions = _opened(connection, path)
        with closing(open_file(unfinished, "write")) as new, translated(unfinished):
            done = 0
            hidden = _Hidden(file)
            for partition in partitions:
                partition_state = _state_of(connection, partition, state)
                pieces = _walk(connection, partition, partition_state.end, hidden)
                done += _copy(pieces, new, partition._replace(checked=0), partition_state, done, on_progress)
                state.partitions.append(partition_state)
            with written(new):
                count_partitions(new, state.identity or new_identity())
    unfinished.rename(to)
    return state


def _files(path: Path) -> Iterator[Path]:
    return (path.with_name(path.name + ending) for ending in ("", "-wal", "-shm"))


# --- the partitions --------------------------------------------------------------------------------------------------


def _opened(connection: sqlite3.Connection, path: Path) -> tuple[LogState, list[Partition]]:
    """Return the state with the identity, and the partitions, as far as they can be read."""
    state = LogState(str(path), None, [])
    with translated(path):
        checked = is_checked(connection)
        if checked:
            state.identity, count = _identity(connection, state)
        rows: list[Any] = []
        try:
            rows = connection.execute(_ROW if checked else _ROW_OF_BEFORE).fetchall()
        except sqlite3.Error as error:
            state.faults.append(f"the table of the partitions cannot be read ({error})")
        # The index holds a copy of the names.
        names: dict[Any, tuple[str, int]] = {}
        with suppress(sqlite3.Error):
            names = {place: (topic, number) for place, topic, number in connection.execute(_NAMES)}
    partitions = []
    for place, topic, number, since, ends, checksum in rows:
        partition = Partition(topic, number, place, since)
        if checked and checksum != partition_checksum(partition, ends):
            topic, number = names.get(place, (topic, number))
            state.faults.append(f"the row of {topic}, partition {number} is damaged")
            # Then a block without a checksum may be one of the previous format.
            partition = Partition(str(topic), number if isinstance(number, int) else 0, place, OFFSET_MASK)
        elif not checked:
            partition = partition._replace(checked=OFFSET_MASK)
        partitions.append(partition)
    present = {partition.place for partition in partitions}
    for place, (topic, number) in names.items():
        if place not in present:
            state.faults.append(f"the row of {topic}, partition {number} cannot be found")
            partitions.append(Partition(topic, number, place, OFFSET_MASK))
    if checked and count is not None and count != len(partitions):
        state.faults.append(f"{len(partitions)} partitions are found of {count}")
    return state, sorted(partitions)


def _identity(connection: sqlite3.Connection, state: LogState) -> tuple[str | None, int | None]:
    row: Any = (None, None, None)
    with suppress(sqlite3.Error):
        row = connection.execute("SELECT identity, partitions, checksum FROM log").fetchone() or row
    if row[2] == log_checksum(row[0], row[1]):
        return row[0], row[1]
    state.faults.append("the row that has the log's identity is damaged")
    return None, None


def _state_of(connection: sqlite3.Connection, partition: Partition, state: LogState) -> PartitionState:
    """Return the state of a partition with its end: from its row, else from its blocks."""
    since = None if partition.checked == OFFSET_MASK else partition.checked
    ends: Any = None
    if since is not None:
        with suppress(sqlite3.Error):
            [ends] = connection.execute("SELECT ends FROM partitions WHERE place = ?", (partition.place,)).fetchone()
    if ends is None:
        try:
            ends = end_by_blocks(connection, partition)
        except sqlite3.Error as error:
            state.faults.append(f"where {partition} ends cannot be found ({error})")
            ends = 0
    return PartitionState(partition.topic, partition.number, ends, since)


def _structure(connection: sqlite3.Connection) -> list[str]:
    """Return the faults that SQLite reports for its pages."""
    try:
        return [f"a page: {row[0]}" for row in connection.execute("PRAGMA quick_check(3)") if row[0] != "ok"]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return [f"the pages: {error}"]


# --- the blocks ------------------------------------------------------------------------------------------------------


class _Hidden:
    """Intact blocks in pages that SQLite does not reach. The file is searched when the first block is missing."""

    def __init__(self, file: BinaryIO) -> None:
        self._pages = Pages(file, PAGE_BYTES, 2 * RECORD_BYTES_MAX)
        self._found: dict[int, tuple[int, int]] | None = None

    def before(self, partition: Partition, position: int, end: int) -> Iterator[Block]:
        """Yield those of a partition between a position and an end."""
        if self._found is None:
            self._found = dict(self._pages.rows())
        for id_ in sorted(id_ for id_ in self._found if partition.low + position <= id_ < partition.low + end):
            with suppress(Broken, ValueError):
                _, count, time, *columns = self._pages.values(self._found[id_])
                # In an upgraded log the column of checksums comes after the content.
                content = sorted(columns, key=lambda value: isinstance(value, bytes))
                block = whole(partition, id_, count, time, *([None, *content][-2:]))
                items_of(block)
                if position <= block.base and block.end <= end:
                    yield block
                    position = block.end


def _walk(
    connection: sqlite3.Connection, partition: Partition, end: int, hidden: _Hidden | None = None
) -> Iterator[Block | Stretch]:
    """Yield, in order up to an end, the intact blocks and the damaged stretches between them."""
    checked = is_checked(connection)
    position = 0
    while position < end:
        result = _from(connection, partition, position, checked)
        if isinstance(result, Block) and result.base == position:
            yield result
            position = result.end
            continue
        following = result if isinstance(result, Block) else _next_whole(connection, partition, position, end, checked)
        stop = end if following is None else min(following.base, end)
        why = _GONE if isinstance(result, Block) else result[1]
        for block in hidden.before(partition, position, stop) if hidden is not None else ():
            if position < block.base:
                yield Stretch(position, block.base, why)
            yield block
            position = block.end
        if position < stop:
            yield Stretch(position, stop, why)
        position = stop


def _next_whole(
    connection: sqlite3.Connection, partition: Partition, position: int, end: int, checked: bool
) -> Block | None:
    """Return the first intact block after an offset. A damaged page may hide any number of blocks: search forward with
    doubling steps, then backward.
    """
    probe, leap = position + 1, 1
    block: Block | None = None
    while block is None and probe < end:
        result = _from(connection, partition, probe, checked)
        if isinstance(result, Block):
            block = result
        elif result[0] is not None:
            probe = max(probe, result[0]) + 1
        else:
            probe += leap
            leap *= 2
    block = block or _before(connection, partition, end, checked)
    if block is None or block.base <= position:
        return None
    while (before := _before(connection, partition, block.base, checked)) is not None and position < before.base:
        block = before
    return block


def _from(
    connection: sqlite3.Connection, partition: Partition, offset: int, checked: bool
) -> Block | tuple[int | None, str]:
    """Return the first block from an offset on; if damaged, its offset (None if unknown) and the reason."""
    return _whole(connection, _FIRST_FROM, partition, partition.low + offset, partition.high, checked)


def _before(connection: sqlite3.Connection, partition: Partition, offset: int, checked: bool) -> Block | None:
    block = _whole(connection, _LAST_BEFORE, partition, partition.low, partition.low + offset, checked)
    return block if isinstance(block, Block) else None


def _whole(
    connection: sqlite3.Connection, query: str, partition: Partition, low: int, high: int, checked: bool
) -> Block | tuple[int | None, str]:
    base: int | None = None
    try:
        row = connection.execute(query if checked else query.replace("checksum", "NULL"), (low, high)).fetchone()
        if row is None:
            return None, _GONE
        base = row[0] & OFFSET_MASK
        block = whole(partition, *row)
        items_of(block)
        return block
    except Broken as broken:
        return base, str(broken)
    except sqlite3.Error as error:
        return base, f"the file cannot be read there ({error})"


def _count(piece: Block | Stretch, state: PartitionState) -> None:
    if isinstance(piece, Stretch):
        state.damaged.append(piece)
        return
    lost = sum(map(_is_lost, items_of(piece)))
    state.lost += lost
    state.whole += piece.end - piece.base - lost


def _is_lost(item: Item) -> bool:
    _, value, headers = item
    return value is None and any(name == LOST for name, _ in headers)


# --- the new log -----------------------------------------------------------------------------------------------------


def _copy(
    pieces: Iterable[Block | Stretch],
    new: sqlite3.Connection,
    partition: Partition,
    state: PartitionState,
    done: int,
    on_progress: Report,
) -> int:
    """Copy a partition into the new log. Return its number of records there."""
    with written(new):
        new.execute(
            "INSERT INTO partitions VALUES (?, ?, ?, 0, 0, ?)",
            (partition.place, partition.topic, partition.number, partition_checksum(partition, 0)),
        )
    time, end, size = 0, 0, 0
    rows: list[tuple[int, int, int, int, bytes]] = []
    # Times never decrease: a placeholder has the time of the previous block, 0 at the start.
    for block in chain.from_iterable(_as_blocks(piece, state) for piece in pieces):
        time = max(time, block.time)
        count = block.end - block.base
        checksum = block_checksum(partition, block.base, count, time, block.body)
        rows.append((partition.low + block.base, count, time, checksum, block.body))
        end, size = block.end, size + len(block.body)
        if size > COMMITTED_BYTES:
            _write(new, partition, rows, end)
            rows, size = [], 0
        on_progress(done + end)
    _write(new, partition, rows, end)
    return end


def _as_blocks(piece: Block | Stretch, state: PartitionState) -> Iterator[Block]:
    """Yield the blocks of the new log for a block or damaged stretch of the old one."""
    _count(piece, state)
    if isinstance(piece, Block):
        yield piece
        return
    header = (LOST, piece.why.encode())
    for base in range(piece.first, piece.end, LOST_AT_ONCE):
        end = min(base + LOST_AT_ONCE, piece.end)
        yield Block(base, end, 0, encode([(None, None, (header,))] * (end - base)))


def _write(
    new: sqlite3.Connection, partition: Partition, rows: list[tuple[int, int, int, int, bytes]], end: int
) -> None:
    with written(new):
        new.executemany(INSERT_BLOCK, rows)
        new.execute(MOVE_END, (end, partition_checksum(partition, end), partition.place))


def check_whole(path: Path) -> None:
    """Raise `LogDamaged` with the first faults if anything of a log is damaged."""
    state = examine(path)
    if state.ok:
        return
    faults = list(state.faults)
    for partition in state.partitions:
        name = f"{partition.topic}, partition {partition.partition}"
        faults += [f"{name}, {offsets(stretch.first, stretch.end)}: {stretch.why}" for stretch in partition.damaged]
    more = f", and {len(faults) - 3:,} more" if len(faults) > 3 else ""
    raise LogDamaged(f"The event log {path} is damaged ({'; '.join(faults[:3])}{more}). {ADVICE}")
