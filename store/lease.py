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
from typing import Final, NamedTuple

import structlog
from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import DBAPIError

from engine.errors import LeaseLost
from store.schema import tables
from store.schema.bulk_sql import insert_absent
from store.schema.dialects import dialect_of

WRITER: Final = "writer"
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
        dialect = dialect_of(self._engine)
        with self._engine.begin() as connection:
            now = dialect.now()
            insert_absent(connection, table, {"name": WRITER, "holder": "", "epoch": 0, "until": 0, "since": 0})
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
        dialect.end_earlier_writers(self._engine, self.epoch, self._microseconds)
        return True

    def renew(self, connection: Connection) -> None:
        """Renew the lease within a transaction. Raises `LeaseLost` if another writer has acquired it."""
        table = tables.leases
        renewed = connection.execute(
            update(table)
            .where(table.c.name == WRITER, table.c.epoch == self.epoch, table.c.holder == self.holder)
            .values(until=dialect_of(connection).now() + self._microseconds)
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
    now = int(connection.execute(select(dialect_of(connection).now())).scalar_one())
    return Holder(row.holder, row.epoch, (row.until - now) / 1_000_000, (now - row.since) / 1_000_000)
