"""The writer's lease: one row that names the current writer, with an epoch as fencing token.

The writer renews the lease while it runs; another worker acquires it once it has expired. Time is that of the database,
so the clocks of the workers are irrelevant. The lease only avoids duplicate work. Correctness rests on the fencing
token: every transaction of the writer asserts its epoch in the last statement (`Lease.renew`), so a worker that was
suspended beyond its term commits nothing.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, event, literal_column, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from engine.errors import LeaseLost
from store.schema import tables

WRITER: Final = "writer"
WRITER_SESSION: Final = "tieout writer"
LEASE_SECONDS: Final = 6.0
"""Duration of a lease without renewal. With the start of the next writer it is the fail-over time."""

log = structlog.get_logger(__name__)


class Lease:
    """The right of `holder` (text for people) to write, once acquired. Every call raises the errors of the database."""

    def __init__(self, engine: Engine, holder: str, *, seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self._microseconds = int(seconds * 1_000_000)
        self.holder = holder
        self.epoch = 0
        self.renewed = -math.inf
        """Time of the last renewal, by the monotonic clock of this process."""
        self.seconds = seconds
        self._lost: LeaseLost | None = None

    def acquire(self) -> bool:
        """Acquire the lease if it is free or expired, with a new epoch. Return True on success."""
        table = tables.leases
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        with self._engine.begin() as connection:
            now = _now(connection)
            vacant = {"name": WRITER, "holder": "", "epoch": 0, "until": 0, "since": 0}
            connection.execute(insert(table).values(vacant).on_conflict_do_nothing())
            taken = connection.execute(
                update(table)
                .where(table.c.name == WRITER, table.c.until <= now)
                .values(holder=self.holder, epoch=table.c.epoch + 1, until=now + self._microseconds, since=now)
                .returning(table.c.epoch)
            ).scalar()
        if taken is None:
            return False
        self.epoch = int(taken)
        self.renewed = time.monotonic()
        self._lost = None
        if self._engine.dialect.name == "postgresql":
            self._name_sessions()
            self._end_earlier_sessions()
        return True

    def renew(self, connection: Connection) -> None:
        """Renew the lease within a transaction. Raises `LeaseLost` if another writer has acquired it."""
        table = tables.leases
        renewed = connection.execute(
            update(table)
            .where(table.c.name == WRITER, table.c.epoch == self.epoch, table.c.holder == self.holder)
            .values(until=_now(connection) + self._microseconds)
        )
        if renewed.rowcount != 1:
            raise LeaseLost(
                f"this worker ({self.holder}) held the lease of the store and did not renew it in time; another has it "
                "now. Nothing of its batch was written."
            )
        self.renewed = time.monotonic()

    def check(self) -> None:
        """Raise `LeaseLost` if the lease is known to be lost. A writer with nothing to write would not notice
        otherwise.
        """
        if self._lost is not None:
            raise self._lost

    def release(self) -> None:
        """Release the lease, so that the next worker can acquire it at once. No effect if another worker holds it."""
        table = tables.leases
        with self._engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.name == WRITER, table.c.epoch == self.epoch, table.c.holder == self.holder)
                .values(until=0)
            )

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Renew the lease in a background thread; release it at the end."""
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep_alive, args=(ended,), name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()
            try:
                self.release()
            except DBAPIError:
                log.info("lease_left_to_expire", holder=self.holder)

    def _keep_alive(self, ended: threading.Event) -> None:
        while not ended.wait(self.seconds / 3):
            try:
                with self._engine.begin() as connection:
                    self.renew(connection)
            except LeaseLost as lost:
                self._lost = lost
                return
            except DBAPIError as error:
                log.warning("lease_not_renewed", holder=self.holder, error=str(error.orig))

    def _name_sessions(self) -> None:
        """Set the application name of every PostgreSQL session of the engine to its writer and epoch."""
        self._engine.dispose()

        @event.listens_for(self._engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET application_name = '{WRITER_SESSION} {self.epoch}'")
                # A writer that was suspended between two statements must not keep its locks beyond its lease.
                cursor.execute(f"SET idle_in_transaction_session_timeout = {self._microseconds // 1000}")
            connection.commit()

    def _end_earlier_sessions(self) -> None:
        """Terminate the sessions of earlier writers. One that was suspended in the middle of a COPY would keep its
        locks and block its successor.
        """
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND usename = current_user AND application_name LIKE :writers AND application_name <> :own"
                ),
                {"writers": f"{WRITER_SESSION} %", "own": f"{WRITER_SESSION} {self.epoch}"},
            )


class Holder(NamedTuple):
    """Current or last holder of the lease: its name, its epoch, the seconds until expiry (negative once expired) and
    the seconds since acquisition.
    """

    holder: str
    epoch: int
    left: float
    held: float


def lease_holder(connection: Connection) -> Holder | None:
    """Return the current or last holder of the lease; None if it was never acquired."""
    table = tables.leases
    row = connection.execute(select(table).where(table.c.name == WRITER)).first()
    if row is None:
        return None
    now = int(connection.execute(select(_now(connection))).scalar_one())
    return Holder(row.holder, row.epoch, (row.until - now) / 1_000_000, (now - row.since) / 1_000_000)


def _now(connection: Connection) -> ColumnElement[int]:
    """Return microseconds since 1970 UTC, by the clock of the database."""
    if connection.dialect.name == "postgresql":
        return literal_column("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", BigInteger)
    return literal_column("CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)", BigInteger)
