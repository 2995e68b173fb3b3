"""Replaying: the store is rebuilt from the topics under today's maps beside the one in use, what would change is shown,
and the rebuilt one takes its place in one step (R70).

Readers never wait, and see the one or the other. The worker goes on meanwhile; only while the rebuilt store is put in
place does it wait, and then it starts again on that one. Nothing of the store in use is touched before, so a replay
that is given up leaves nothing behind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, select

from engine.errors import QueryError
from engine.mapping.compiler import Maps
from store.lease import WRITER
from store.projection.writer import GENERATION, build_settings, generation
from store.proof.swap import Difference, compare, swap_in
from store.schema import tables
from store.schema.bulk_sql import upsert
from streams.log import EventLog
from tieout.bootstrap import load_maps, open_log, open_store, projected_topics
from tieout.maintenance.rebuild import Rebuilding, Report, reached, scratch_store
from tieout.settings import Settings
from tieout.worker.log_continuity import require_same_log

ROWS_BETWEEN_REPORTS: Final = 1_000


class Replay:
    """A rebuilt store beside the one in use. `difference` is what putting it in place would change."""

    def __init__(
        self, settings: Settings, maps: Maps, used: Engine, rebuilt: Engine, rebuilding: Rebuilding, found: Difference
    ) -> None:
        self._settings = settings
        self._maps = maps
        self._used = used
        self._rebuilt = rebuilt
        self._rebuilding = rebuilding
        self.difference = found

    def put_in_place(self, report: Report, on_rows: Callable[[int], None] = lambda rows: None) -> None:
        """Follow the log to where the store in use is, and make the rebuilt one that, in one transaction. Raises
        `QueryError` when another environment was pinned since it was rebuilt.
        """
        written = 0

        def count() -> None:
            nonlocal written
            written += 1
            if written % ROWS_BETWEEN_REPORTS == 0:
                on_rows(written)

        with self._used.begin() as using, self._used_reader() as reader:
            _lock_out_the_writer(using)
            with reader.connect() as used, used.begin():
                self._rebuilding.check_pins(used)
                self._rebuilding.go_on(reached(used), report)
                with self._rebuilt.connect() as rebuilt:
                    swap_in(using, used, rebuilt, count)
            upsert(using, tables.settings, list(build_settings(self._maps, self._settings.companies).items()))
            upsert(using, tables.settings, [(GENERATION, str(int(generation(using)) + 1))])
        on_rows(written)

    @contextmanager
    def _used_reader(self) -> Iterator[Engine]:
        with open_store(self._settings, write=False) as reader:
            yield reader


@contextmanager
def rehearsed(
    settings: Settings, within: Callable[[str, str], bool], report: Report = lambda done, total: None
) -> Iterator[Replay]:
    """Rebuild the store up to where the one in use has read, and compare; `within` tells by company and date which
    documents are looked at. At the end everything is removed that was not put in place.

    Raises `QueryError` when the store in use was never written, and `LogDiffers` when it was filled from another
    log.
    """
    maps = load_maps(settings)
    with (
        open_store(settings, write=True) as used,
        open_store(settings, write=False) as reader,
        open_log(settings, write=False) as log,
        scratch_store() as rebuilt,
        reader.connect() as before,
        before.begin(),
    ):
        places = reached(before)
        require_same_log(before, log, projected_topics(settings))
        if not places:
            raise QueryError("the store has read nothing yet, so there is nothing to replay: start `tieout run`.")
        rebuilding = _begun(log, before, rebuilt, maps, settings)
        rebuilding.go_on(places, report)
        with rebuilt.connect() as after:
            found = compare(before, after, within)
        before.rollback()
        yield Replay(settings, maps, used, rebuilt, rebuilding, found)


def _begun(log: EventLog, used: Connection, rebuilt: Engine, maps: Maps, settings: Settings) -> Rebuilding:
    rebuilding = Rebuilding(log, used, rebuilt, maps, settings)
    rebuilding.begin(reached(used))
    return rebuilding


def _lock_out_the_writer(using: Connection) -> None:
    """Have the writer's next transaction wait for this one. On SQLite it does so already, and SQLAlchemy leaves
    `FOR UPDATE` out.
    """
    using.execute(select(tables.offsets).with_for_update())
    using.execute(select(tables.leases).where(tables.leases.c.name == WRITER).with_for_update())
