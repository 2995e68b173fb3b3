"""Does the store say what its topics say? Everything is computed anew in a store of its own and compared (R72); what
events do not say is compared with the state topic.

Nothing is published and nothing of the installation is changed: the log and the store are opened for reading.
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
from tieout.maintenance.rebuild import Rebuilding, reached, scratch_store
from tieout.settings import Settings
from tieout.worker.log_continuity import require_same_log
from tieout.worker.state_topic import find_differences

DIFFERENCES_MAX: Final = 100
"""More are not looked for: a store that differs in a hundred places is rebuilt, not mended."""

DumpLine = dict[str, Any]
"""A line of the canonical dump, decoded from JSON."""

# The primary keys of the tables that a dump holds row by row.
_NAMES: Final = tuple("id key company kind date views currency accounting_currency source token record".split())

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Difference(msgspec.Struct, frozen=True):
    """A line of the canonical dump, or a row of the state, that is not the same, or is in one of the two alone. Of the
    state, what is `computed` is what its topic says.
    """

    what: str
    name: str
    stored: DumpLine | None
    computed: DumpLine | None

    def members(self) -> Iterator[tuple[str, Any, Any]]:
        """What differs: (member, in the store, computed)."""
        stored, computed = self.stored or {}, self.computed or {}
        if self.stored is None or self.computed is None:
            yield "all of it", self.stored, self.computed
            return
        for name in sorted(stored.keys() | computed.keys()):
            if stored.get(name) != computed.get(name):
                yield name, stored.get(name), computed.get(name)


def verify(settings: Settings, on_progress: Callable[[int, int], None] = lambda done, total: None) -> list[Difference]:
    """Compute the store anew from the topics, up to where it has read them, and return the first differences. Before,
    the log itself is checked.

    `on_progress` is told how many of how many events are read. A worker may go on meanwhile. Raises `StoreError` when
    the store was built under other maps, `QueryError` while a worker has decisions to make again, `LogDiffers` when
    it is not the log that the store was filled from, and `LogDamaged`.
    """
    maps = load_maps(settings)
    with (
        open_store(settings, write=False) as engine,
        engine.connect() as connection,
        connection.begin(),
        open_log(settings, write=False) as log,
        scratch_store() as scratch,
    ):
        # The first question fixes the state that all later ones see.
        places = reached(connection)
        _check_comparable(connection, maps)
        require_same_log(connection, log, projected_topics(settings))
        if settings.log_file is not None:
            check_whole(settings.log_file)
        rebuilding = Rebuilding(log, connection, scratch, maps, settings)
        rebuilding.begin(places)
        rebuilding.go_on(places, on_progress)
        found = differences(contents(connection), dump(scratch))
        kept = find_differences(engine, log, settings.prefix)
    return [*found, *(Difference("state", " ".join(map(str, one.key)), one.stored, one.published) for one in kept)][
        :DIFFERENCES_MAX
    ]


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
    """The first differences of two dumps. Lines that are in one alone do not make those after them differ."""
    only_stored: Counter[bytes] = Counter()
    only_computed: Counter[bytes] = Counter()
    for one, other in zip_longest(map(_comparable, stored), map(_comparable, computed)):
        if one == other:
            continue
        _unmatched(one, only_stored, only_computed)
        _unmatched(other, only_computed, only_stored)
        if min(len(only_stored), len(only_computed)) > most or max(len(only_stored), len(only_computed)) > 100 * most:
            break
    return _paired(only_stored, only_computed)[:most]


def _comparable(line: DumpLine) -> bytes:
    """A line and, before it, what kind of line it is: its first member, which sorting would move."""
    return _encode([next(iter(line)), line])


def _unmatched(line: bytes | None, here: Counter[bytes], there: Counter[bytes]) -> None:
    if line is None:
        return
    if there[line] > 0:
        there[line] -= 1
    else:
        here[line] += 1
    if not there[line]:
        del there[line]


def _paired(stored: Counter[bytes], computed: Counter[bytes]) -> list[Difference]:
    """Lines about one thing side by side."""
    others: dict[tuple[str, str], deque[DumpLine]] = {}
    for what, line in map(msgspec.json.decode, computed.elements()):
        others.setdefault(_about(what, line), deque()).append(line)
    found = []
    for what, line in map(msgspec.json.decode, stored.elements()):
        about = _about(what, line)
        partner = others[about].popleft() if others.get(about) else None
        found.append(Difference(*about, line, partner))
    found += [Difference(*about, None, line) for about, lines in others.items() for line in lines]
    return found


def _about(what: str, line: DumpLine) -> tuple[str, str]:
    """What a line is about: the kind of thing, and its name."""
    named = line[what]
    if isinstance(named, dict):
        named = " ".join(str(named[name]) for name in _NAMES if name in named)
    return what, named if isinstance(named, str) else " ".join(map(str, named))
