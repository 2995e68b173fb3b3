"""The one writer of a store: works out what a batch writes, and writes it in one transaction with the place it came
from (R71).

Nothing outside this module changes the projection. A batch that fails leaves the store as it was, and the writer
reads it anew before it goes on.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Final

from sqlalchemy import Connection, Engine, func, insert, select, update

from engine.chains.records import Record
from engine.errors import LeaseLost, StoreMismatch, StoreReplaced
from engine.mapping.compiler import Maps
from store.errorlog import error_log, error_states
from store.lease import Lease
from store.notices import waiting_keys
from store.operational.attempts import save_request
from store.operational.inbox import QueuedCommand, queued_commands
from store.operational.state_topic import APPLIED
from store.projection.batch_plan import DecodedBatch, OffsetAdvance, Plan, ReceivedRequest, is_waiting, plan_batch
from store.projection.batch_projection import EVERY_CHAIN, FANOUT, BatchProjection, ProjectionCache, load_resident
from store.projection.outgoing import Outgoing
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.schema import tables
from store.schema.bulk_sql import insert as insert_rows
from store.schema.bulk_sql import pipelined, upsert

GENERATION: Final = "generation"
"""The setting that says which rebuilding of the store this is."""
PURGED_TO: Final = "history purged to"
"""The setting that says up to which time the error log's history was deleted."""
PURGE_CHUNK: Final = 500
CACHED_RECORDS: Final = 10_000
CACHED_CHAINS: Final = 4_000
"""What the writer keeps in memory: a few batches' worth, for the events of a document mostly come close together."""
RECOMPUTED_CHAINS: Final = 1_000
"""When every chain is to be decided again, so many are before the next events are looked at: a fraction of a second."""
REQUEST_VALIDITY: Final = 24 * 3600 * 1_000_000
"""A sync is asked for now: one that comes from a topic read anew, so many microseconds later, is not followed."""
COPY_THRESHOLD: Final = 4_000
"""From so many rows on, what PostgreSQL's COPY gains outweighs waiting for the answer to each statement."""


class Writer:
    """Prepares and commits batches, one after the other. A second writer elsewhere is refused by the offsets
    (`LeaseLost`).

    A batch may be prepared while the one before it is still being committed by another thread, once `expect` was told
    of that one; `commit` itself is for one thread at a time. One that does not publish (`publishes`) leaves out what
    would go into the outbox; one with a `lease` writes only while it holds it. `clock` tells the time at which errors
    are published as they stand (microseconds since 1970 UTC).
    """

    def __init__(
        self,
        engine: Engine,
        maps: Maps,
        companies: Collection[str] | None = None,
        *,
        publishes: bool = True,
        lease: Lease | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._engine = engine
        self._publishes = publishes
        self._lease = lease
        self._clock = clock
        self._maps = maps
        self._companies = companies
        self._load()

    def _load(self) -> None:
        self._state = ProjectionCache(CACHED_RECORDS, CACHED_CHAINS)
        self._written = UncommittedWrites()
        self._recomputing = True
        with self._engine.begin() as connection:
            settings = build_settings(self._maps, self._companies)
            check_build_settings(connection, settings)
            upsert(connection, tables.settings, list(settings.items()))
            load_resident(ReadYourWrites(connection, self._written), self._maps, self._state)
            self._sources = {row.source: row.until for row in connection.execute(select(tables.sources))}
            self._state.waiting = waiting_keys(connection)
            self._generation = generation(connection)
            self._numbered = last_outbox_id(connection)
        # What was sent and not cleared is sent again: at least once.
        self._sent = self._cleared = 0
        self._left_over = self._numbered > 0
        self._stale = False
        self._purged = error_log.FIRST
        self._told_all = not self._publishes

    def offsets(self) -> dict[tuple[str, int], int]:
        """The next record to read, by topic and partition; one that is not there was never read."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.offsets)).all()
        return {(row.topic, row.partition): row.next for row in rows}

    def apply(self, batch: DecodedBatch) -> Plan:
        """Prepare a batch and commit it.

        Raises `LeaseLost` when the offsets are not where `batch.advances` follow: another writer was here. Then, and on
        any error, nothing of the batch stays.
        """
        plan = self.prepare(batch)
        self.stage(plan)
        self.commit(plan)
        return plan

    def prepare(self, batch: DecodedBatch) -> Plan:
        """Work out what a batch writes. Changes nothing."""
        if self._stale:
            self._load()
        with self._engine.connect() as connection:
            rows = ReadYourWrites(connection, self._written)
            unit = BatchProjection(rows, self._maps, self._state, self._companies)
            unit.change(batch.changes)
            return self._plan(unit, rows, batch)

    def _plan(self, unit: BatchProjection, rows: ReadYourWrites, batch: DecodedBatch) -> Plan:
        return plan_batch(unit, rows, batch, self._sources, publishes=self._publishes)

    def invalidate_caches(self) -> None:
        """Read anew what is remembered, before the next batch: something else wrote to the store."""
        self._stale = True

    def seed(self, records: Iterable[Record]) -> None:
        """Begin a store with records whose events are no longer in the log."""
        with self._engine.connect() as connection:
            rows = ReadYourWrites(connection, self._written)
            unit = BatchProjection(rows, self._maps, self._state, self._companies)
            unit.adopt(records)
            plan = self._plan(unit, rows, DecodedBatch())
        self.stage(plan)
        self.commit(plan)

    def stage(self, plan: Plan) -> None:
        """From now on `plan` counts as written: prepare the next batch upon it. Call it once the one before it is
        committed.
        """
        self._written = plan.written
        plan.unit.remember()
        self._state.chains.update(plan.known_chains)
        self._state.chains.forget(plan.written.chains_gone)
        self._state.totals.update(plan.written.totals)
        self._state.reconciliations.update(plan.written.reconciliations)
        self._sources.update(plan.sources)
        for key, notice in plan.written.notices.items():
            (self._state.waiting.add if is_waiting(notice) else self._state.waiting.discard)(key)
        self._recomputing = self._recomputing or bool(plan.unit.postponed)

    def commit(self, plan: Plan) -> None:
        """Write a plan that was expected, move the offsets past it and put what it publishes into the outbox, in one
        transaction.

        Raises `LeaseLost` as `apply`. After any error the writer forgets what it knows, and reads it again.
        """
        try:
            with self._engine.begin() as connection:
                _advance_offsets(connection, plan.advances)
                self._check_generation(connection)
                if plan.requests:
                    _request_syncs(connection, plan.requests)
                tells = self._publishes and bool(plan.messages or plan.deletions)
                new = error_states.new_errors(connection, plan.messages) if tells else []
                with pipelined(connection) if plan.rows < COPY_THRESHOLD else nullcontext():
                    for step in plan.steps:
                        step(connection)
                    cleared = self._delete_acknowledged(connection)
                    plan.last = self._numbered = write_outbox(connection, plan.outgoing, self._numbered)
                if tells:
                    states = error_states.changed_states(connection, new, plan.messages, plan.deletions, self._clock())
                    plan.last = self._numbered = write_outbox(connection, states, self._numbered)
                    plan.outgoing += states
                # Last, for it locks the row that another worker would take.
                if self._lease is not None:
                    self._lease.renew(connection)
            self._cleared = cleared
            if self._written is plan.written:
                self._written = UncommittedWrites()  # the committed rows say it now
        except BaseException:
            self._stale = True
            raise

    def recompute(self) -> Plan | None:
        """Decide again a bounded number of documents whose references changed; None when none are left."""
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
            keys = (
                _chains_after(connection, waiting.cursor)
                if every
                else _dependents(connection, waiting.token, waiting.cursor)
            )
            rows = ReadYourWrites(connection, self._written)
            unit = BatchProjection(rows, self._maps, self._state, self._companies)
            (unit.decide_again if every else unit.derive_again)(keys)
            plan = self._plan(unit, rows, DecodedBatch())
            if len(keys) < (RECOMPUTED_CHAINS if every else FANOUT):
                plan.delete(tables.recomputations, ["token"], [(waiting.token,)])
            else:
                plan.upsert(tables.recomputations, [(waiting.token, keys[-1])])
        self.stage(plan)
        self.commit(plan)
        return plan

    def purge(self, before: int) -> bool:
        """Delete a bounded piece of the error log's history from before a time (microseconds since 1970 UTC); True
        while some may be left. Nothing that is current goes, and nothing that says why something is not.
        """
        if self._stale:
            self._load()
        with self._engine.connect() as connection:
            keys, after = error_log.purgeable(connection, before, self._purged, PURGE_CHUNK)
            rows = ReadYourWrites(connection, self._written)
            plan = self._plan(BatchProjection(rows, self._maps, self._state, self._companies), rows, DecodedBatch())
        if keys:
            plan.delete(tables.process_messages, ["source", "event"], sorted(set(keys)))
            plan.upsert(tables.settings, [(PURGED_TO, str(before))])
            plan.steps.append(error_states.delete_purged)
            self.stage(plan)
            self.commit(plan)
        self._purged = after or error_log.FIRST
        return after is not None

    def publish_error_states(self) -> bool:
        """Put into the outbox where errors stand that changed with the time alone, or of which nothing was published
        yet; True while some may be left. Call it when all plans are committed. Raises `StoreReplaced` as `commit`.
        """
        if not self._publishes:
            return False
        if self._stale:
            self._load()
        try:
            with self._engine.begin() as connection:
                self._check_generation(connection)
                states = error_states.time_dependent_states(connection, self._clock())
                first = [] if self._told_all else error_states.unpublished_states(connection, self._clock())
                numbered = write_outbox(connection, [*states, *first], self._numbered)
                if self._lease is not None:
                    self._lease.renew(connection)
        except BaseException:
            self._stale = True
            raise
        self._left_over = self._left_over or numbered > self._numbered
        self._numbered, self._told_all = numbered, not first
        return self._left_over or not self._told_all

    def check_generation(self) -> None:
        """Raise `StoreReplaced` when a replay has put another store in place."""
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
        """Whether the outbox may hold what no plan of this writer publishes: left by one before it, or that failed."""
        return self._stale or self._left_over

    @property
    def recomputing(self) -> bool:
        """Whether documents may wait to be decided again."""
        return self._recomputing

    def outbox_records(self, limit: int = 5_000) -> list[tuple[int, Outgoing]]:
        """What waits to be published, oldest first, with its number in the outbox."""
        if self._stale:
            self._load()
        table = tables.outbox
        with self._engine.connect() as connection:
            rows = connection.execute(select(table).where(table.c.id > self._sent).order_by(table.c.id).limit(limit))
            waiting = [(row.id, Outgoing(row.topic, row.key, row.value)) for row in rows]
        self._left_over = len(waiting) == limit
        return waiting

    def acknowledge(self, last: int) -> None:
        """Everything up to number `last` of the outbox was acknowledged by the log. It is deleted with the next batch
        (or `tidy`).
        """
        self._sent = last

    def delete_acknowledged(self) -> None:
        """Delete what was sent from the outbox, when no batch comes to do it. Raises `LeaseLost`."""
        if self._lease is not None:
            self._lease.check()
        if self._cleared < self._sent:
            with self._engine.begin() as connection:
                cleared = self._delete_acknowledged(connection)
                # Another writer may have used these numbers again.
                if self._lease is not None:
                    self._lease.renew(connection)
            self._cleared = cleared

    def _delete_acknowledged(self, connection: Connection) -> int:
        sent = self._sent
        if self._cleared < sent:
            connection.execute(tables.outbox.delete().where(tables.outbox.c.id <= sent))
        return sent


def _request_syncs(connection: Connection, requests: Sequence[ReceivedRequest]) -> None:
    """Hand requests to the attempt log, each once: a new store, which reads them again, knows from the state topic up
    to where one before it did.
    """
    names = {f"{APPLIED}{asked.topic}/{asked.partition}" for asked in requests}
    settings = tables.settings.c
    rows = connection.execute(select(tables.settings).where(settings.name.in_(names)))
    applied = {row.name: int(row.value) for row in rows}
    for asked in requests:
        name = f"{APPLIED}{asked.topic}/{asked.partition}"
        if asked.offset < applied.get(name, 0):
            continue
        if asked.request.at > time.time_ns() // 1_000 - REQUEST_VALIDITY:
            save_request(connection, asked.request)
        applied[name] = asked.offset + 1
    upsert(connection, tables.settings, [(name, str(offset)) for name, offset in applied.items()])


def last_outbox_id(connection: Connection) -> int:
    """The number of the last record in the outbox."""
    return connection.execute(select(func.max(tables.outbox.c.id))).scalar() or 0


def write_outbox(connection: Connection, outgoing: Iterable[Outgoing], last: int) -> int:
    """Put records into the outbox after number `last`; returns the number of the last one now."""
    now = time.time_ns() // 1_000
    rows = [(number, item.topic, item.key, item.value, now) for number, item in enumerate(outgoing, last + 1)]
    insert_rows(connection, tables.outbox, rows)
    return last + len(rows)


def _dependents(connection: Connection, token: str, cursor: str) -> list[str]:
    """The next records after `cursor` that point to `token`."""
    key = tables.links.c.record
    found = select(key).where(tables.links.c.token == token, key > cursor)
    return list(connection.execute(found.order_by(key).limit(FANOUT)).scalars())


def _chains_after(connection: Connection, cursor: str) -> list[str]:
    key = tables.chains.c.id
    return list(connection.execute(select(key).where(key > cursor).order_by(key).limit(RECOMPUTED_CHAINS)).scalars())


_MAPS: Final = "maps"
_COMPANIES: Final = "companies (TIEOUT_COMPANIES)"


def build_settings(maps: Maps, companies: Collection[str] | None) -> dict[str, str]:
    """What a store's rows rest on besides its events, by the names of its settings."""
    listed = "all" if companies is None else ", ".join(sorted(companies))
    return {_MAPS: maps.digest, _COMPANIES: listed}


def check_build_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    """Raises `StoreMismatch` for a store that was built under others than these (`build_settings`)."""
    kept = tables.settings.c
    rows = connection.execute(select(kept.name, kept.value).where(kept.name.in_(settings)))
    built = {row.name: row.value for row in rows}
    remedies = {
        _MAPS: "put the files that it was built under in their place (TIEOUT_MAPS): a worker that runs loads them",
        _COMPANIES: f"set TIEOUT_COMPANIES to those that it was built for ({built.get(_COMPANIES)}), and start again",
    }
    for name, value in settings.items():
        if built.get(name, value) != value:
            raise StoreMismatch(
                f"this store was built under other {name} than those in force here, so its rows mean something else. "
                f"Either {remedies[name]}; or run `tieout replay` under those in force here: it rebuilds the store "
                "from the topics and shows first what changes."
            )


def purged_to(connection: Connection) -> int | None:
    """Up to when the history of the error log was deleted (microseconds since 1970 UTC)."""
    value = tables.settings.c.value
    found = connection.execute(select(value).where(tables.settings.c.name == PURGED_TO)).scalar()
    return None if found is None else int(found)


def generation(connection: Connection) -> str:
    """Which rebuilding of the store this is: another one after each replay."""
    value = tables.settings.c.value
    return connection.execute(select(value).where(tables.settings.c.name == GENERATION)).scalar() or "0"


def _advance_offsets(connection: Connection, advances: Iterable[OffsetAdvance]) -> None:
    """Compare-and-set of the offsets, first of all: a writer that was overtaken must write nothing."""
    table = tables.offsets
    for move in advances:
        here = (table.c.topic == move.topic) & (table.c.partition == move.partition)
        moved = connection.execute(
            update(table).where(here, table.c.next == move.follows).values(next=move.next, last=move.last)
        )
        if moved.rowcount == 1:
            continue
        stored = connection.execute(select(table.c.next).where(here)).scalar()
        if stored is not None:
            raise LeaseLost(
                f"{move.topic}/{move.partition}: this worker continues at {move.follows}, but the store is at "
                f"{stored}. "
                "Another worker writes to this store; stop one of them."
            )
        row = {"topic": move.topic, "partition": move.partition, "next": move.next, "last": move.last}
        connection.execute(insert(table).values(row))
