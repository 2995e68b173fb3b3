"""The entry point for reading a store: a reader opens snapshots."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

from sqlalchemy import Connection, Engine

from engine.mapping.compiler import Maps
from engine.reconciliation.ledger_accounts import NO_ACCOUNTS, LedgerAccounts
from store.queries.snapshot import Snapshot
from store.schema.dialects import dialect_of


class Reader:
    """Opens snapshots of a store.

    `maps` are the maps to read by, or a function that finds them in the store (`tieout.worker.maps_in_force`). `today`
    is the simulated date, or None for the date in the time zone of the company. `delayed` is what waits for rows of
    asynchronous maps (`engine.reconciliation.asynchronous`). `accounts` are the main accounts whose ledger balances are
    asked. `clock` returns the current time.
    """

    def __init__(
        self,
        engine: Engine,
        maps: Maps | Callable[[Connection], Maps],
        *,
        today: date | None = None,
        delayed: frozenset[str] = frozenset(),
        accounts: LedgerAccounts = NO_ACCOUNTS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._maps = maps
        self._today = today
        self._delayed = delayed
        self._accounts = accounts
        self._clock = clock

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open one snapshot of the store for any number of queries."""
        with self._engine.connect() as connection:
            connection = dialect_of(connection).for_snapshot(connection)
            with connection.begin():
                maps = self._maps if isinstance(self._maps, Maps) else self._maps(connection)
                yield Snapshot(connection, maps, self._today, self._clock(), self._delayed, self._accounts)
