"""Verifies the store: rebuilds it from its topics in a temporary store, and compares the canonical dumps (R72). State
that events do not contain is compared with the state topic.

Nothing is published or changed: the log and the store are opened for reading.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from engine.errors import QueryError, StoreError
from engine.mapping.compiler import Maps
from store.proof.dump import contents, dump
from store.schema import tables
from streams.embedded.salvage import check_whole
from tieout.bootstrap import load_maps, open_log, open_store, projected_topics
from tieout.maintenance.rebuild import Rebuilding, committed_offsets, scratch_store
from tieout.settings import Settings
from tieout.worker.log_continuity import require_same_log
from tieout.worker.state_topic import find_differences

DIFFERENCES_MAX: Final = 100
"""The comparison stops there: a store with a hundred differences is rebuilt, not corrected."""

DumpLine = dict[str, Any]
"""A line of the canonical dump, decoded from JSON."""

# The primary keys of the tables that a dump contains row by row.
_KEYS: Final = tuple("id key company kind date views currency accounting_currency source token record".split())

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Difference(msgspec.Struct, frozen=True):
    """A line of the canonical dump, or a row of the state, that differs or is missing on one side (None).

    For the state, `computed` is the value on its topic.
    """

    what: str
    name: str
    stored: DumpLine | None
    computed: DumpLine | None

    def members(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield the members that differ: (member, value in the store, computed value)."""
        stored, computed = self.stored or {}, self.computed or {}
        if self.stored is None or self.computed is None:
            yield "all of it", self.stored, self.computed
            return
        for name in sorted(stored.keys() | computed.keys()):
            if stored.get(name) != computed.get(name):
                yield name, stored.get(name), computed.get(name)


def verify(settings: Settings, on_progress: Callable[[int, int], None] = lambda done, total: None) -> list[Difference]:
    """Rebuild the store from the topics up to its committed offsets, and return the first differences. The checksums of
    an embedded log are verified before.

    `on_progress` receives the number of events read and their total. A worker may continue meanwhile. Raises
    `StoreError` if the store was built under other maps, `QueryError` while re-evaluations are pending, `LogDiffers` if
    the store was built from another log, and `LogDamaged`.
    """
    maps = load_maps(settings)
    with (
        open_store(settings, write=False) as engine,
        engine.connect() as connection,
        connection.begin(),
        open_log(settings, write=False) as log,
        scratch_store() as scratch,
    ):
        # The first query determines the snapshot of all later ones.
        committed = committed_offsets(connection)
        _check_comparable(connection, maps)
        require_same_log(connection, log, projected_topics(settings))
        if settings.log_file is not None:
            check_whole(settings.log_file)
        rebuilding = Rebuilding(log, connection, scratch, maps, settings)
        rebuilding.begin(committed)
        rebuilding.read_to(committed, on_progress)
        of_events = differences(contents(connection), dump(scratch))
        of_state = [
            Difference("state", " ".join(map(str, row.key)), row.stored, row.published)
            for row in find_differences(engine, log, settings.prefix)
        ]
    return [*of_events, *of_state][:DIFFERENCES_MAX]


def _check_comparable(connection: Connection, maps: Maps) -> None:
    built = connection.execute(select(tables.settings.c.value).where(tables.settings.c.name == "maps")).scalar()
    if built is not None and built != maps.digest:
        raise StoreError(
            "the store was built under other maps than those of the settings (TIEOUT_MAPS): it cannot be compared. "
            "`tieout replay` shows what the maps of the settings would change."
        )
    if connection.execute(select(tables.recomputations.c.token).limit(1)).first() is not None:
        raise QueryError(
            "the worker has not finished deciding again after a change: let `tieout run --until-caught-up` end first."
        )


def differences(
    stored: Iterable[DumpLine], computed: Iterable[DumpLine], most: int = DIFFERENCES_MAX
) -> list[Difference]:
    """Return the first differences of two dumps. A line that is in one dump only does not affect the lines after it."""
    only_stored: Counter[bytes] = Counter()
    only_computed: Counter[bytes] = Counter()
    for stored_line, computed_line in zip_longest(map(_comparable, stored), map(_comparable, computed)):
        if stored_line == computed_line:
            continue
        _count_unmatched(stored_line, only_stored, only_computed)
        _count_unmatched(computed_line, only_computed, only_stored)
        if min(len(only_stored), len(only_computed)) > most or max(len(only_stored), len(only_computed)) > 100 * most:
            break
    return _paired(only_stored, only_computed)[:most]


def _comparable(line: DumpLine) -> bytes:
    """Encode a line with sorted members, after its kind: the first member, which sorting would move."""
    return _encode([next(iter(line)), line])


def _count_unmatched(line: bytes | None, here: Counter[bytes], there: Counter[bytes]) -> None:
    """Count a line as unmatched `here`, or remove its match from those `there`."""
    if line is None:
        return
    if there[line] > 0:
        there[line] -= 1
    else:
        here[line] += 1
    if not there[line]:
        del there[line]


def _paired(stored: Counter[bytes], computed: Counter[bytes]) -> list[Difference]:
    """Pair the lines of the same row."""
    unpaired: dict[tuple[str, str], deque[DumpLine]] = {}
    for kind, line in map(msgspec.json.decode, computed.elements()):
        unpaired.setdefault(_name_of(kind, line), deque()).append(line)
    pairs = []
    for kind, line in map(msgspec.json.decode, stored.elements()):
        name = _name_of(kind, line)
        partner = unpaired[name].popleft() if unpaired.get(name) else None
        pairs.append(Difference(*name, line, partner))
    pairs += [Difference(*name, None, line) for name, lines in unpaired.items() for line in lines]
    return pairs


def _name_of(kind: str, line: DumpLine) -> tuple[str, str]:
    """Return the kind of a line, and the primary key of its row as text."""
    row = line[kind]
    if isinstance(row, dict):
        row = " ".join(str(row[column]) for column in _KEYS if column in row)
    return kind, row if isinstance(row, str) else " ".join(map(str, row))
