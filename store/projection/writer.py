"""The single writer of a store: projects batches and commits each in one transaction with its offsets (R71).

No other module changes the projection. A failed batch leaves the store unchanged, and the writer reloads its caches
before it continues.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Final

from sqlalchemy import Connection, Engine, false, func, insert, or_, select, update

from engine.chains.records import Record
from engine.errors import LeaseLost, StoreMismatch, StoreReplaced
from engine.mapping.compiler import EntityMap, Maps
from engine.reconciliation.beginning_balances import NONE, BeginningBalances
from engine.reconciliation.ledger_accounts import NO_ACCOUNTS, LedgerAccounts
from store import clock
from store.errorlog import error_log, error_states
from store.lease import Lease
from store.notices import waiting_keys
from store.operational.attempts import save_request
from store.operational.inbox import QueuedCommand, queued_commands
from store.operational.state_topic import APPLIED
from store.projection.batch_plan import DecodedBatch, OffsetAdvance, Plan, ReceivedRequest, is_waiting, plan_batch
from store.projection.batch_projection import EVERY_CHAIN, EVERY_LEDGER_ENTRY, FANOUT, BatchProjection
from store.projection.outgoing import Outgoing
from store.projection.projection_cache import ProjectionCache, load_resident
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.schema import tables
from store.schema.bulk_sql import insert as insert_rows
from store.schema.bulk_sql import pipelined, upsert
from store.schema.key_ranges import has_prefix

GENERATION: Final = "generation"
"""Setting with the number of the rebuild that created the store."""
PURGED_TO: Final = "history purged to"
"""Setting with the time up to which the history of the error log was deleted."""
PURGE_CHUNK: Final = 500
CACHED_RECORDS: Final = 10_000
CACHED_CHAINS: Final = 4_000
"""Cache sizes: a few batches, because the events of a document usually arrive close together."""
RECOMPUTED_CHAINS: Final = 1_000
"""Chains that are re-evaluated between two batches when every chain must be: a fraction of a second."""
REQUEST_VALIDITY: Final = 24 * 3600 * 1_000_000
"""A sync request older than this (microseconds) is ignored: it comes from a topic that is read again."""
COPY_THRESHOLD: Final = 4_000
"""Number of rows from which COPY to PostgreSQL saves more than pipelined statements."""


class Writer:
    """Prepares and commits batches in sequence. Another writer is detected by compare-and-set of the offsets
    (`LeaseLost`).

    A batch may be prepared while another thread commits the previous one, once that one is staged (`stage`). `commit`
    is for one thread at a time. With `publishes` False, nothing is put into the outbox. With a `lease`, the writer
    commits only while it holds the lease. `clock` returns the time for the status of errors (microseconds since 1970
    UTC). `accounts` are the main accounts whose ledger entries are read.
    """

    def __init__(
        self,
        engine: Engine,
        maps: Maps,
        companies: Collection[str] | None = None,
        *,
        beginning: BeginningBalances = NONE,
        accounts: LedgerAccounts = NO_ACCOUNTS,
        publishes: bool = True,
        lease: Lease | None = None,
        clock: Callable[[], int] = clock.now,
    ) -> None:
        self._engine = engine
        self._publishes = publishes
        self._lease = lease
        self._clock = clock
        self._maps = maps
        self._companies = companies
        self._beginning = beginning
        self._accounts = accounts
        self._load()

    def _load(self) -> None:
        self._cache = ProjectionCache(CACHED_RECORDS, CACHED_CHAINS)
        self._uncommitted = UncommittedWrites()
        self._recomputing = True
        with self._engine.begin() as connection:
            settings = build_settings(self._maps, self._companies, self._beginning, self._accounts)
            check_build_settings(connection, settings)
            upsert(connection, tables.settings, list(settings.items()))
            load_resident(ReadYourWrites(connection, self._uncommitted), self._maps, self._cache)
            self._sources = {row.source: row.until for row in connection.execute(select(tables.sources))}
            self._cache.waiting = waiting_keys(connection)
            self._generation = generation(connection)
            self._last_id = last_outbox_id(connection)
        # Records that were sent but not deleted are sent again: at least once.
        self._acknowledged = self._deleted_to = 0
        self._leftovers = self._last_id > 0
        self._stale = False
        self._purged = error_log.FIRST
        self._all_states_published = not self._publishes

    def offsets(self) -> dict[tuple[str, int], int]:
        """Return the next offset to read by topic and partition. A missing partition was never read."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.offsets)).all()
        return {(row.topic, row.partition): row.next for row in rows}

    @contextmanager
    def projecting(self) -> Iterator[BatchProjection]:
        """Give the projection of one batch, which reads committed rows and those of the staged plan."""
        if self._stale:
            self._load()
        with self._engine.connect() as connection:
            yield self._projection(connection)

    def _projection(self, connection: Connection) -> BatchProjection:
        rows = ReadYourWrites(connection, self._uncommitted)
        return BatchProjection(
            rows,
            self._maps,
            self._cache,
            self._companies,
            self._beginning,
            self._accounts,
            recomputing=self._recomputing,
        )

    def plan(self, projection: BatchProjection, batch: DecodedBatch) -> Plan:
        """Return the writes of a batch whose changes are merged, matched and detected. Call it within `projecting`."""
        return plan_batch(projection, batch, self._sources, publishes=self._publishes)

    def invalidate_caches(self) -> None:
        """Reload the caches before the next batch, because another process wrote to the store."""
        self._stale = True

    def seed(self, records: Iterable[Record]) -> None:
        """Initialise a store with records whose events are no longer in the log."""
        with self._engine.connect() as connection:
            projection = self._projection(connection)
            projection.adopt(records)
            projection.match()
            projection.detect()
            plan = self.plan(projection, DecodedBatch())
        self.stage(plan)
        self.commit(plan)

    def stage(self, plan: Plan) -> None:
        """Make the writes of `plan` visible to the next `prepare` (read-your-writes). Call it once the previous plan is
        committed.
        """
        self._uncommitted = plan.uncommitted
        plan.projection.update_cache()
        self._cache.chains.update(plan.chain_bodies)
        self._cache.chains.invalidate(plan.uncommitted.deleted_chains)
        self._cache.totals.update(plan.uncommitted.totals)
        self._cache.reconciliations.update(plan.uncommitted.reconciliations)
        self._cache.postings.update(plan.uncommitted.postings)
        self._sources.update(plan.sources)
        for key, notice in plan.uncommitted.notices.items():
            (self._cache.waiting.add if is_waiting(notice) else self._cache.waiting.discard)(key)
        self._recomputing = self._recomputing or bool(plan.projection.postponed)

    def commit(self, plan: Plan) -> None:
        """Write a staged plan, advance the offsets and fill the outbox in one transaction.

        Raises `LeaseLost` like `apply`. After any error the writer reloads its caches.
        """
        try:
            with self._engine.begin() as connection:
                _advance_offsets(connection, plan.advances)
                self._check_generation(connection)
                if plan.requests:
                    _request_syncs(connection, plan.requests)
                publishes_states = self._publishes and bool(plan.messages or plan.deletions)
                new = error_states.new_errors(connection, plan.messages) if publishes_states else []
                with pipelined(connection) if plan.rows < COPY_THRESHOLD else nullcontext():
                    for step in plan.statements:
                        step(connection)
                    deleted_to = self._delete_acknowledged(connection)
                    plan.last = self._last_id = write_outbox(connection, plan.outgoing, self._last_id)
                if publishes_states:
                    states = error_states.changed_states(connection, new, plan.messages, plan.deletions, self._clock())
                    plan.last = self._last_id = write_outbox(connection, states, self._last_id)
                    plan.outgoing += states
                # Last, because it locks the row that another worker would acquire.
                if self._lease is not None:
                    self._lease.renew(connection)
            self._deleted_to = deleted_to
            if self._uncommitted is plan.uncommitted:
                self._uncommitted = UncommittedWrites()  # the rows are committed
        except BaseException:
            self._stale = True
            raise

    def recompute(self) -> Plan | None:
        """Re-evaluate a bounded number of documents and ledger entries whose references changed. Return None if none
        are left.
        """
        if self._stale:
            self._load()
        if not self._recomputing:
            return None
        with self._engine.connect() as connection:
            waiting = connection.execute(select(tables.recomputations).limit(1)).first()
            if waiting is None:
                self._recomputing = False
                return None
            every = waiting.token == EVERY_CHAIN
            if every:
                keys = _chains_after(connection, waiting.cursor)
            elif waiting.token == EVERY_LEDGER_ENTRY:
                keys = _records_after(connection, self._maps.of_role("ledger-entry"), waiting.cursor)
            else:
                keys = _dependents(connection, waiting.token, waiting.cursor)
            projection = self._projection(connection)
            (projection.relink_chains if every else projection.relink)(keys)
            projection.match()
            projection.detect()
            plan = self.plan(projection, DecodedBatch())
            if len(keys) < (RECOMPUTED_CHAINS if every else FANOUT):
                plan.delete(tables.recomputations, ["token"], [(waiting.token,)])
            else:
                plan.upsert(tables.recomputations, [(waiting.token, keys[-1])])
        self.stage(plan)
        self.commit(plan)
        return plan

    def purge(self, before: int) -> bool:
        """Delete a bounded part of the history of the error log before a time (microseconds since 1970 UTC).

        Returns True while more may be left. Current errors stay, and so do messages that make an error history.
        """
        if self._stale:
            self._load()
        with self._engine.connect() as connection:
            keys, after = error_log.purgeable(connection, before, self._purged, PURGE_CHUNK)
            plan = self.plan(self._projection(connection), DecodedBatch())
        if keys:
            plan.delete(tables.process_messages, ["source", "event"], sorted(set(keys)))
            plan.upsert(tables.settings, [(PURGED_TO, str(before))])
            plan.statements.append(error_states.delete_purged)
            self.stage(plan)
            self.commit(plan)
        self._purged = after or error_log.FIRST
        return after is not None

    def publish_error_states(self) -> bool:
        """Put into the outbox the errors whose status changed with time alone, and those never published.

        Returns True while more may be left. Call it when all plans are committed. Raises `StoreReplaced` like `commit`.
        """
        if not self._publishes:
            return False
        if self._stale:
            self._load()
        try:
            with self._engine.begin() as connection:
                self._check_generation(connection)
                states = error_states.time_dependent_states(connection, self._clock())
                first = [] if self._all_states_published else error_states.unpublished_states(connection, self._clock())
                numbered = write_outbox(connection, [*states, *first], self._last_id)
                if self._lease is not None:
                    self._lease.renew(connection)
        except BaseException:
            self._stale = True
            raise
        self._leftovers = self._leftovers or numbered > self._last_id
        self._last_id, self._all_states_published = numbered, not first
        return self._leftovers or not self._all_states_published

    def check_generation(self) -> None:
        """Raise `StoreReplaced` if a replay has swapped in another store."""
        if not self._stale:
            with self._engine.connect() as connection:
                self._check_generation(connection)

    def _check_generation(self, connection: Connection) -> None:
        if generation(connection) != self._generation:
            raise StoreReplaced("a replay put a rebuilt store in place: this worker starts again on it.")

    def inbox_commands(self) -> list[QueuedCommand]:
        """Return the oldest commands in the inbox. The batch that applies one deletes it (`applied_commands`)."""
        with self._engine.connect() as connection:
            return queued_commands(connection)

    @property
    def has_leftovers(self) -> bool:
        """True if the outbox may contain records of a previous writer or of a failed publish."""
        return self._stale or self._leftovers

    @property
    def recomputing(self) -> bool:
        """True if documents may be waiting for re-evaluation."""
        return self._recomputing

    def outbox_records(self, limit: int = 5_000) -> list[tuple[int, Outgoing]]:
        """Return the unsent records of the outbox, oldest first, with their ids."""
        if self._stale:
            self._load()
        table = tables.outbox
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(table).where(table.c.id > self._acknowledged).order_by(table.c.id).limit(limit)
            )
            waiting = [(row.id, Outgoing(row.topic, row.key, row.value)) for row in rows]
        self._leftovers = len(waiting) == limit
        return waiting

    def acknowledge(self, last: int) -> None:
        """Record that the log has acknowledged the outbox up to id `last`. The next batch or `delete_acknowledged`
        deletes it.
        """
        self._acknowledged = last

    def delete_acknowledged(self) -> None:
        """Delete acknowledged records of the outbox if no batch does. Raises `LeaseLost`."""
        if self._lease is not None:
            self._lease.check()
        if self._deleted_to < self._acknowledged:
            with self._engine.begin() as connection:
                deleted_to = self._delete_acknowledged(connection)
                # Another writer may have reused these ids.
                if self._lease is not None:
                    self._lease.renew(connection)
            self._deleted_to = deleted_to

    def _delete_acknowledged(self, connection: Connection) -> int:
        sent = self._acknowledged
        if self._deleted_to < sent:
            connection.execute(tables.outbox.delete().where(tables.outbox.c.id <= sent))
        return sent


def _request_syncs(connection: Connection, requests: Sequence[ReceivedRequest]) -> None:
    """Hand each request to the attempt log once. A new store, which reads the requests again, knows the applied offset
    from the state topic.
    """
    names = {f"{APPLIED}{received.topic}/{received.partition}" for received in requests}
    settings = tables.settings.c
    rows = connection.execute(select(tables.settings).where(settings.name.in_(names)))
    applied = {row.name: int(row.value) for row in rows}
    for received in requests:
        name = f"{APPLIED}{received.topic}/{received.partition}"
        if received.offset < applied.get(name, 0):
            continue
        if received.request.at > clock.now() - REQUEST_VALIDITY:
            save_request(connection, received.request)
        applied[name] = received.offset + 1
    upsert(connection, tables.settings, [(name, str(offset)) for name, offset in applied.items()])


def last_outbox_id(connection: Connection) -> int:
    """Return the id of the last record in the outbox; 0 if empty."""
    return connection.execute(select(func.max(tables.outbox.c.id))).scalar() or 0


def write_outbox(connection: Connection, outgoing: Iterable[Outgoing], last: int) -> int:
    """Insert records into the outbox after id `last`. Return the new last id."""
    now = clock.now()
    rows = [(number, item.topic, item.key, item.value, now) for number, item in enumerate(outgoing, last + 1)]
    insert_rows(connection, tables.outbox, rows)
    return last + len(rows)


def _dependents(connection: Connection, token: str, cursor: str) -> list[str]:
    """Return the next records after `cursor` that point to `token`."""
    key = tables.links.c.record
    query = select(key).where(tables.links.c.token == token, key > cursor)
    return list(connection.execute(query.order_by(key).limit(FANOUT)).scalars())


def _records_after(connection: Connection, entity_maps: Iterable[EntityMap], cursor: str) -> list[str]:
    """Return the keys of the next records of these entities after `cursor`."""
    key = tables.records.c.key
    ranges = [has_prefix(entity_map.prefix) for entity_map in entity_maps]
    query = select(key).where(or_(false(), *ranges), key > cursor).order_by(key).limit(FANOUT)
    return list(connection.execute(query).scalars())


def _chains_after(connection: Connection, cursor: str) -> list[str]:
    """Return the ids of the next chains after `cursor`."""
    key = tables.chains.c.id
    return list(connection.execute(select(key).where(key > cursor).order_by(key).limit(RECOMPUTED_CHAINS)).scalars())


_MAPS: Final = "maps"
_COMPANIES: Final = "companies (TIEOUT_COMPANIES)"
_BEGINNING: Final = "beginning balances (TIEOUT_BEGINNING_BALANCE)"
_ACCOUNTS: Final = "ledger accounts (TIEOUT_EXPENSE_ACCOUNT, TIEOUT_PROCUREMENT_ACCOUNT)"


def build_settings(
    maps: Maps,
    companies: Collection[str] | None,
    beginning: BeginningBalances = NONE,
    accounts: LedgerAccounts = NO_ACCOUNTS,
) -> dict[str, str]:
    """Return the settings that the rows of a store depend on besides its events, by name."""
    listed = "all" if companies is None else ", ".join(sorted(companies))
    return {
        _MAPS: maps.digest,
        _COMPANIES: listed,
        _BEGINNING: str(beginning),
        _ACCOUNTS: accounts.as_text(),
    }


def check_build_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    """Raise `StoreMismatch` if a store was built under other settings than these (`build_settings`)."""
    kept = tables.settings.c
    rows = connection.execute(select(kept.name, kept.value).where(kept.name.in_(settings)))
    built = {row.name: row.value for row in rows}
    if built:
        built.setdefault(_BEGINNING, str(NONE))  # a store from before this setting
    remedies = {
        _MAPS: "put the files that it was built under in their place (TIEOUT_MAPS): a worker that runs loads them",
        _BEGINNING: f"set TIEOUT_BEGINNING_BALANCE to those that it was built for ({built.get(_BEGINNING)})",
        _COMPANIES: f"set TIEOUT_COMPANIES to those that it was built for ({built.get(_COMPANIES)}), and start again",
        _ACCOUNTS: f"set both to those that it was built for ({built.get(_ACCOUNTS)}), and start again",
    }
    for name, value in settings.items():
        if built.get(name, value) != value:
            raise StoreMismatch(
                f"this store was built under other {name} than those in force here, so its rows mean something else. "
                f"Either {remedies[name]}; or run `tieout replay` under those in force here: it rebuilds the store "
                "from the topics and shows first what changes."
            )


def purged_to(connection: Connection) -> int | None:
    """Return the time up to which the error log was purged (microseconds since 1970 UTC), or None."""
    value = tables.settings.c.value
    purged = connection.execute(select(value).where(tables.settings.c.name == PURGED_TO)).scalar()
    return None if purged is None else int(purged)


def generation(connection: Connection) -> str:
    """Return the generation of the store, which changes with each replay."""
    value = tables.settings.c.value
    return connection.execute(select(value).where(tables.settings.c.name == GENERATION)).scalar() or "0"


def _advance_offsets(connection: Connection, advances: Iterable[OffsetAdvance]) -> None:
    """Advance the offsets by compare-and-set.

    It is the first statement of the transaction, so that a batch that was applied already writes nothing. The lease is
    asserted by the last one.
    """
    table = tables.offsets
    for advance in advances:
        location = (table.c.topic == advance.topic) & (table.c.partition == advance.partition)
        result = connection.execute(
            update(table).where(location, table.c.next == advance.follows).values(next=advance.next, last=advance.last)
        )
        if result.rowcount == 1:
            continue
        stored = connection.execute(select(table.c.next).where(location)).scalar()
        if stored is not None:
            raise LeaseLost(
                f"{advance.topic}/{advance.partition}: this worker continues at {advance.follows}, but the store is at "
                f"{stored}. "
                "Another worker writes to this store; stop one of them."
            )
        row = {"topic": advance.topic, "partition": advance.partition, "next": advance.next, "last": advance.last}
        connection.execute(insert(table).values(row))
