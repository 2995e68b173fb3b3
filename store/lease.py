"""Which worker writes to a store: a row that names it, with an epoch that grows with each new writer.

The writer renews its lease while it lives; another takes it once it has run out. Time is the database's, so the clocks
of the workers play no part. The lease keeps workers from doing the same work twice; what keeps a store right is that
every transaction of the writer asserts its epoch as its last statement (`Lease.renew`): a worker that slept through its
time commits nothing.
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
"""How long a lease lasts that is not renewed: with the start of the next writer, what a fail-over takes."""

log = structlog.get_logger(__name__)


class Lease:
    """The right of `holder` (text for people) to write. Take it first; each call raises what the database raises."""

    def __init__(self, engine: Engine, holder: str, *, seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self._microseconds = int(seconds * 1_000_000)
        self.holder = holder
        self.epoch = 0
        self.renewed = -math.inf
        """When it was last renewed, by the monotonic clock of this process."""
        self.seconds = seconds
        self._lost: LeaseLost | None = None

    def acquire(self) -> bool:
        """Take the lease if nobody holds it; True when it is ours now."""
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
        """Renew the lease within a transaction. Raises `LeaseLost` when another writer has it."""
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
        """Raise `LeaseLost` once it is known that another writer has the lease: one with nothing to write would not
        notice.
        """
        if self._lost is not None:
            raise self._lost

    def release(self) -> None:
        """Let the next worker take over at once. Does nothing when another has the lease."""
        table = tables.leases
        with self._engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.name == WRITER, table.c.epoch == self.epoch, table.c.holder == self.holder)
                .values(until=0)
            )

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Renew the lease from a thread of its own, and release it at the end."""
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
        """Have every session of the engine say in PostgreSQL which writer it belongs to."""
        self._engine.dispose()

        @event.listens_for(self._engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET application_name = '{WRITER_SESSION} {self.epoch}'")
                # A writer that was stopped between two statements must not keep its locks for longer than its lease.
                cursor.execute(f"SET idle_in_transaction_session_timeout = {self._microseconds // 1000}")
            connection.commit()

    def _end_earlier_sessions(self) -> None:
        """End the sessions of earlier writers: one that was stopped in the middle of a COPY would keep its locks, and
        make its successor wait until it wakes.
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
    """Who holds the lease, its epoch, for how many seconds more (below 0: it has run out), and for how many it has."""

    holder: str
    epoch: int
    left: float
    held: float


def lease_holder(connection: Connection) -> Holder | None:
    """Who holds the lease, or held it last; None when nobody ever did."""
    table = tables.leases
    row = connection.execute(select(table).where(table.c.name == WRITER)).first()
    if row is None:
        return None
    now = int(connection.execute(select(_now(connection))).scalar_one())
    return Holder(row.holder, row.epoch, (row.until - now) / 1_000_000, (now - row.since) / 1_000_000)


def _now(connection: Connection) -> ColumnElement[int]:
    """Microseconds since 1970, by the database's clock."""
    if connection.dialect.name == "postgresql":
        return literal_column("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", BigInteger)
    return literal_column("CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)", BigInteger)
