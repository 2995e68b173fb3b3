"""What a database must provide to hold a store."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple, TypeVar

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Table
from sqlalchemy.exc import DatabaseError

from engine.errors import StoreError

T = TypeVar("T")
Row = tuple[Any, ...]
"""Values of a row in the order of the columns."""
Columns = tuple[str, ...]
"""Names of columns; hashable, since the text of a statement is cached by them."""


class NameFilter(NamedTuple):
    """A filter on the first letters of a name: its column, the LIKE pattern (escape character `/`), and the condition
    that selects exactly its rows.
    """

    column: ColumnElement[str]
    pattern: str
    condition: ColumnElement[bool]


class Dialect(ABC):
    """One database. Stateless, so that connections share it.

    A method that is not abstract has the answer of a database without the feature or the limitation it is about.
    """

    in_file: ClassVar[bool]
    """True if a store is a file that is read and copied as such; False if a server has it."""
    overlaps_commits: ClassVar[bool]
    """True if projecting the next batch while a thread commits the previous one saves time."""

    # --- opening, upgrading, measuring -------------------------------------------------------------------------------

    @abstractmethod
    def create_engine(self, url: URL, *, write: bool) -> Engine:
        """Return a connection pool with the settings that writers or readers need: transactions of writers do not wait
        for readers, those of readers see one snapshot. Raises `StoreError` if the driver is missing.
        """

    @abstractmethod
    def cannot_open(self, shown: str, error: DatabaseError) -> StoreError:
        """Return the error for a store that cannot be opened, with its remedy; `shown` is its URL for display. An error
        that may pass is a `StoreUnavailable`, and workers try again.
        """

    @abstractmethod
    def migrating(self, connection: Connection) -> AbstractContextManager[None]:
        """Context of an upgrade within a transaction: it excludes the upgrades of workers that start at the same time,
        and marks the database as a store.
        """

    @abstractmethod
    def size(self, connection: Connection) -> int:
        """Return the size of the store in bytes, as the database counts it."""

    # --- transactions, locks, the lease ------------------------------------------------------------------------------

    def for_snapshot(self, connection: Connection) -> Connection:
        """Return the connection for a transaction that only reads and sees one state of the store."""
        return connection

    @abstractmethod
    def lock(self, connection: Connection, names: Collection[str]) -> None:
        """Lock these names until the end of the transaction, against other transactions that lock one of them."""

    @abstractmethod
    def now(self) -> ColumnElement[int]:
        """Return an expression for microseconds since 1970 UTC by the clock of the database, which advances within a
        transaction. The clocks of the workers may differ.
        """

    @abstractmethod
    def end_earlier_writers(self, engine: Engine, epoch: int, term: int) -> None:
        """End the transactions of writers before this `epoch`, so that one that was suspended does not block its
        successor, and let none of this engine outlast a `term` (microseconds) without a statement.
        """

    # --- statements for many rows; none is called without rows -------------------------------------------------------

    def pipelined(self, connection: Connection) -> AbstractContextManager[None]:
        """Context that sends statements without waiting for each response, if there are round trips to save."""
        return nullcontext()

    @abstractmethod
    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert new rows."""

    @abstractmethod
    def insert_absent(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
        """Insert a row unless its key exists. Return True if it was inserted."""

    @abstractmethod
    def upsert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, replacing those with the same primary key."""

    @abstractmethod
    def delete(self, connection: Connection, table: Table, columns: Columns, keys: Sequence[Row]) -> None:
        """Delete the rows whose `columns` have one of the values `keys`."""

    @abstractmethod
    def select(
        self, connection: Connection, table: Table, columns: Columns, by: str, values: Iterable[str]
    ) -> Iterator[Row]:
        """Yield the `columns` of the rows whose column `by` is one of `values`, which may be none."""

    @abstractmethod
    def select_limited(
        self,
        connection: Connection,
        table: Table,
        columns: Columns,
        by: str,
        values: Collection[str],
        limit: int,
    ) -> Iterator[Row]:
        """Yield at most `limit` rows for each value."""

    @abstractmethod
    def select_ranges(
        self, connection: Connection, table: Table, columns: Columns, by: str, ranges: Sequence[tuple[str, str]]
    ) -> Iterator[Row]:
        """Yield the rows of ranges, each looked up in the index of the column `by`."""

    @abstractmethod
    def select_keys(self, connection: Connection, table: Table, keys: Sequence[Row]) -> Iterator[Row]:
        """Yield the rows with these primary keys."""

    # --- expressions and errors --------------------------------------------------------------------------------------

    @abstractmethod
    def json_array(self, *values: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON array which, cast to text, is what the triggers of `state_outbox` write."""

    def by_bytes(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a column for sorting in the order of Python, whatever language the database sorts by."""
        return column

    @abstractmethod
    def number_state_after(self, connection: Connection, number: int) -> None:
        """Number later changes of `state_outbox` above a number."""

    def is_sum_overflow(self, error: DatabaseError) -> bool:
        """Return True if a sum exceeded 64 bits. A database whose sums are exact never reports it."""
        return False

    # --- the planner of grid queries ---------------------------------------------------------------------------------

    def unindexed(self, column: Column[T]) -> ColumnElement[T]:
        """Return a column whose index is not to be used, because another one is more selective. A planner with
        statistics knows that.
        """
        return column

    @abstractmethod
    def name_filter(
        self,
        filters: Iterable[NameFilter],
        selects_few: Callable[[ColumnElement[bool]], bool],
        *,
        selective: bool,
        ordered: bool,
    ) -> ColumnElement[bool] | None:
        """Return the condition to add if one of the filters on names selects few rows. They are then looked up by name
        and sorted, instead of walking all documents in order.

        `selects_few` counts the rows of a condition. `selective` is True if another index suits the query, `ordered` if
        rows are requested in an order.
        """

    def prefers_full_scan(self, connection: Connection, table: Table, requested: Callable[[], int]) -> bool:
        """Return True if the planner must be led to read the whole table, because `requested` rows are most of it."""
        return False
