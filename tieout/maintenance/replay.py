"""Replay: rebuilds the store from the topics under the current maps, shows the difference, and swaps it in atomically
(R70).

Readers never wait, and see either the old or the new content. The worker continues during the rebuild; it waits only
for the swap, and then restarts on the new content. The store in use is not changed before the swap, so an abandoned
replay has no effect.
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
from tieout.bootstrap import load_maps, open_log, open_store, projected_topics
from tieout.maintenance.rebuild import Rebuilding, Report, committed_offsets, scratch_store
from tieout.settings import Settings
from tieout.worker.log_continuity import require_same_log

ROWS_BETWEEN_REPORTS: Final = 1_000


class Replay:
    """A rebuilt store that can replace the one in use. `difference` is what the swap would change."""

    def __init__(
        self,
        settings: Settings,
        maps: Maps,
        used: Engine,
        rebuilt: Engine,
        rebuilding: Rebuilding,
        difference: Difference,
    ) -> None:
        self._settings = settings
        self._maps = maps
        self._used = used
        self._rebuilt = rebuilt
        self._rebuilding = rebuilding
        self.difference = difference

    def swap(self, report: Report, on_rows: Callable[[int], None] = lambda rows: None) -> None:
        """Read up to the committed offsets, and replace the content of the store in use in one transaction.

        `on_rows` receives the number of rows written. Raises `QueryError` if the pinned environments have changed since
        the rebuild.
        """
        written = 0

        def count() -> None:
            nonlocal written
            written += 1
            if written % ROWS_BETWEEN_REPORTS == 0:
                on_rows(written)

        with self._used.begin() as using, self._used_reader() as reader:
            _block_writer(using)
            with reader.connect() as used, used.begin():
                self._rebuilding.check_pins(used)
                self._rebuilding.read_to(committed_offsets(used), report)
                with self._rebuilt.connect() as rebuilt:
                    swap_in(using, used, rebuilt, count)
            built = build_settings(
                self._maps, self._settings.companies, self._settings.beginning_balances, self._settings.ledger_accounts
            )
            upsert(using, tables.settings, list(built.items()))
            upsert(using, tables.settings, [(GENERATION, str(int(generation(using)) + 1))])
        on_rows(written)

    @contextmanager
    def _used_reader(self) -> Iterator[Engine]:
        with open_store(self._settings, write=False) as reader:
            yield reader


@contextmanager
def prepare_replay(
    settings: Settings, within: Callable[[str, str], bool], report: Report = lambda done, total: None
) -> Iterator[Replay]:
    """Rebuild the store up to the committed offsets within the block, and compare. `within` selects the documents to
    compare by company and date. A rebuild that was not swapped in is removed at the end of the block.

    Raises `QueryError` if the store in use has never been written, `LogDiffers` if it was built from another log.
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
        committed = committed_offsets(before)
        require_same_log(before, log, projected_topics(settings))
        if not committed:
            raise QueryError("the store has read nothing yet, so there is nothing to replay: start `tieout run`.")
        rebuilding = Rebuilding(log, before, rebuilt, maps, settings)
        rebuilding.begin(committed)
        rebuilding.read_to(committed, report)
        with rebuilt.connect() as after:
            difference = compare(before, after, within)
        before.rollback()
        yield Replay(settings, maps, used, rebuilt, rebuilding, difference)


def _block_writer(using: Connection) -> None:
    """Make the next transaction of the writer wait for this one. SQLite does so without a lock of its own, and
    SQLAlchemy omits `FOR UPDATE` there.
    """
    using.execute(select(tables.offsets).with_for_update())
    using.execute(select(tables.leases).where(tables.leases.c.name == WRITER).with_for_update())
