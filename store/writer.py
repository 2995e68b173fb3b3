"""The one writer of a store: applies batches of what was decoded, each in one transaction with the place it came from
(R71).

Nothing outside this module changes the projection. A batch that fails leaves the store and the writer's memory as
they were.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, insert, select, text, update

from engine.changes import Change, Heartbeat, ProcessMessage, iso
from engine.documents import Chain, Document
from engine.errors import Overtaken, StoreError
from engine.maps import EntityMap, Maps
from engine.messages import recognise
from engine.wire import document_json
from store import tables
from store.statements import delete, upsert
from store.statements import select as select_rows
from store.unit import EVERY_CHAIN, FANOUT, State, Unit, _decode_chain, encode, load_resident
from store.views import Sums, TotalKey, numbers, total_key, views_of

_json = msgspec.json.Encoder().encode

RECORDS_REMEMBERED: Final = 10_000
CHAINS_REMEMBERED: Final = 4_000
CHAINS_AT_ONCE: Final = 250
"""What the writer keeps in memory: a few batches' worth, for the events of a document mostly come close together."""


class Move(msgspec.Struct, frozen=True):
    """A step through one partition: from the record that `follows` the last one applied to the `next` one to read."""

    topic: str
    partition: int
    follows: int
    next: int


class Outgoing(msgspec.Struct, frozen=True):
    """A record to publish, by the topic's name without prefix; a value of None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None


class Batch(msgspec.Struct):
    """What one read from the log came to."""

    changes: list[tuple[Change, EntityMap]] = []
    heartbeats: list[Heartbeat] = []
    messages: list[ProcessMessage] = []
    rejected: list[Outgoing] = []
    moves: list[Move] = []


class Writer:
    """Applies batches. Not for use by two threads at a time; a second writer elsewhere is refused by the offsets
    (`Overtaken`).
    """

    def __init__(self, engine: Engine, maps: Maps, companies: Collection[str] | None = None) -> None:
        self._engine = engine
        self._maps = maps
        self._companies = companies
        self._state = State(RECORDS_REMEMBERED, CHAINS_REMEMBERED)
        with engine.begin() as connection:
            listed = "all" if companies is None else ", ".join(sorted(companies))
            _check_built_under(connection, {"maps": maps.digest, "companies (TIEOUT_COMPANIES)": listed})
            load_resident(connection, maps, self._state)

    def offsets(self) -> dict[tuple[str, int], int]:
        """The next record to read, by topic and partition; one that is not there was never read."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.offsets)).all()
        return {(row.topic, row.partition): row.next for row in rows}

    def apply(self, batch: Batch) -> None:
        """Apply a batch and move the offsets past it, in one transaction.

        Raises `Overtaken` when the offsets are not where `batch.moves` follow: another writer was here. Then, and on
        any error, nothing of the batch stays.
        """
        with self._engine.begin() as connection:
            _move(connection, batch.moves)
            unit = Unit(connection, self._maps, self._state, self._companies)
            unit.change(batch.changes)
            outgoing = self._write(unit)
            _keep_heartbeats(connection, batch.heartbeats)
            outgoing += _keep_messages(connection, batch.messages)
            _put_out(connection, [*outgoing, *batch.rejected])
        self._remember(unit)

    def recompute(self) -> bool:
        """Decide again a bounded number of documents whose references changed; True while some are left."""
        with self._engine.begin() as connection:
            waiting = connection.execute(select(tables.recomputations).limit(1)).first()
            if waiting is None:
                return False
            every = waiting.token == EVERY_CHAIN
            keys = (
                _chains_after(connection, waiting.cursor)
                if every
                else _dependents(connection, waiting.token, waiting.cursor)
            )
            if len(keys) < (CHAINS_AT_ONCE if every else FANOUT):
                delete(connection, tables.recomputations, ["token"], [(waiting.token,)])
            else:
                upsert(connection, tables.recomputations, [(waiting.token, keys[-1])])
            unit = Unit(connection, self._maps, self._state, self._companies)
            (unit.decide_again if every else unit.derive_again)(keys)
            _put_out(connection, self._write(unit))
        self._remember(unit)
        return True

    def outgoing(self, limit: int = 5_000) -> list[tuple[int, Outgoing]]:
        """What waits to be published, oldest first, with its number in the outbox."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.outbox).order_by(tables.outbox.c.id).limit(limit)).all()
        return [(row.id, Outgoing(row.topic, row.key, row.value)) for row in rows]

    def sent(self, last: int) -> None:
        """Everything up to number `last` of the outbox was acknowledged by the log."""
        with self._engine.begin() as connection:
            connection.execute(tables.outbox.delete().where(tables.outbox.c.id <= last))

    def _write(self, unit: Unit) -> list[Outgoing]:
        unit.decide()
        connection = unit.connection
        upsert(connection, tables.records, [(key, encode(unit.records[key])) for key in sorted(unit.changed)])
        delete(connection, tables.links, ["token", "record"], sorted(unit.links_removed))
        # In the order of the tree, which spares it the search for a page; among records of one token any order will do.
        upsert(connection, tables.links, sorted(unit.links_added, key=itemgetter(0)))
        upsert(connection, tables.recomputations, [(token, "") for token in unit.postponed])
        self._decided = _differences(unit)
        outgoing = _write_chains(connection, self._decided)
        _write_reference_findings(unit)
        return outgoing

    def _remember(self, unit: Unit) -> None:
        unit.remember()
        self._state.chains.update({**unit.old_chains, **self._decided.bodies})
        self._state.chains.forget(self._decided.gone)


def _dependents(connection: Connection, token: str, cursor: str) -> list[str]:
    """The next records after `cursor` that point to `token`."""
    key = tables.links.c.record
    found = select(key).where(tables.links.c.token == token, key > cursor)
    return list(connection.execute(found.order_by(key).limit(FANOUT)).scalars())


def _chains_after(connection: Connection, cursor: str) -> list[str]:
    key = tables.chains.c.id
    return list(connection.execute(select(key).where(key > cursor).order_by(key).limit(CHAINS_AT_ONCE)).scalars())


def _check_built_under(connection: Connection, settings: dict[str, str]) -> None:
    """A store is a function of its events *and* of these: under others its rows would mix two meanings."""
    table = tables.settings
    built = {row.name: row.value for row in connection.execute(select(table))}
    for name, value in settings.items():
        if built.get(name, value) != value:
            raise StoreError(
                f"the {name} changed since this store was built, and its rows mean what they meant before. "
                "Point TIEOUT_STORE to a new, empty store: it is rebuilt from the topics."
            )
    upsert(connection, table, list(settings.items()))


def _move(connection: Connection, moves: Iterable[Move]) -> None:
    """Compare-and-set of the offsets, first of all: a writer that was overtaken must write nothing."""
    table = tables.offsets
    for move in moves:
        here = (table.c.topic == move.topic) & (table.c.partition == move.partition)
        moved = connection.execute(update(table).where(here, table.c.next == move.follows).values(next=move.next))
        if moved.rowcount == 1:
            continue
        stored = connection.execute(select(table.c.next).where(here)).scalar()
        if stored is not None:
            raise Overtaken(
                f"{move.topic}/{move.partition}: this worker continues at {move.follows}, but the store is at "
                f"{stored}. "
                "Another worker writes to this store; stop one of them."
            )
        connection.execute(insert(table).values(topic=move.topic, partition=move.partition, next=move.next))


# --- chains ----------------------------------------------------------------------------------------------------------


class _Decided(msgspec.Struct):
    """The chains that are different now: their new bodies, those that are gone, and what was and is decided about
    them.
    """

    bodies: dict[str, bytes]
    gone: list[str]
    old: dict[str, Chain]
    new: dict[str, Chain]


def _differences(unit: Unit) -> _Decided:
    bodies: dict[str, bytes] = {}
    new: dict[str, Chain] = {}
    for chain, decided in unit.new_chains.items():
        body = encode(decided)
        if unit.old_chains.get(chain) != body:
            bodies[chain] = body
            new[chain] = decided
    gone = [chain for chain in unit.old_chains if chain not in unit.new_chains]
    old = {chain: _decode_chain(unit.old_chains[chain]) for chain in [*bodies, *gone] if chain in unit.old_chains}
    return _Decided(bodies, gone, old, new)


def _write_chains(connection: Connection, decided: _Decided) -> list[Outgoing]:
    upsert(connection, tables.chains, sorted(decided.bodies.items()))
    delete(connection, tables.chains, ["id"], [(chain,) for chain in decided.gone])
    _write_findings(connection, decided)
    _write_unsynced(connection, decided)
    old = {document.key: document for chain in decided.old.values() for document in chain.documents}
    new = {document.key: (chain.id, document) for chain in decided.new.values() for document in chain.documents}
    changed = {key: item for key, item in new.items() if old.get(key) != item[1]}
    moved = {key: item for key, item in new.items() if key not in changed}
    upsert(
        connection,
        tables.documents,
        [document_row(chain, document) for _, (chain, document) in sorted({**changed, **moved}.items())],
    )
    delete(connection, tables.documents, ["key"], [(key,) for key in old if key not in new])
    _write_totals(connection, old, {key: document for key, (_, document) in new.items()})
    return _positions(old, {key: document for key, (_, document) in changed.items()}, new)


def _positions(
    old: Mapping[str, Document], changed: Mapping[str, Document], new: Mapping[str, tuple[str, Document]]
) -> list[Outgoing]:
    """Each changed document for the positions topic, and a tombstone for each name that is gone."""
    names = {document.document for _, document in new.values()}
    gone = sorted({document.document for document in old.values()} - names)
    return [
        *(Outgoing("positions", document.document.encode(), _position(document)) for document in changed.values()),
        *(Outgoing("positions", name.encode(), None) for name in gone),
    ]


def _position(document: Document) -> bytes:
    """The JSON of `tieout documents`, without the members that are null: a large part of the log's bytes would say
    nothing.
    """
    return _json({name: value for name, value in document_json(document).items() if value is not None})


def document_row(chain: str, document: Document) -> tuple[Any, ...]:
    """A document as its row of the table `documents`, in the order of its columns."""
    amounts, accounting = document.amounts, document.accounting
    return (
        document.key,
        chain,
        document.document,
        document.company or "",
        document.kind,
        document.date or "",
        views_of(document),
        document.position,
        document.excluded,
        document.cause,
        document.since,
        document.currency,
        *(
            (
                amounts.amount,
                amounts.missing_actual,
                amounts.missing_journal_line,
                amounts.reconciled,
                amounts.difference,
            )
            if amounts
            else (None, 0, 0, 0, 0)
        ),
        document.accounting_currency,
        *(
            (
                accounting.amount,
                accounting.missing_actual,
                accounting.missing_journal_line,
                accounting.reconciled,
                accounting.difference,
            )
            if accounting
            else (None, 0, 0, 0, 0)
        ),
        document.voucher,
        document.project,
        document.category,
        document.vendor,
        document.invoice,
        document.journal,
    )


def _write_totals(connection: Connection, old: Mapping[str, Document], new: Mapping[str, Document]) -> None:
    changes: dict[TotalKey, list[int]] = {}
    for sign, documents in ((-1, old), (1, new)):
        for document in documents.values():
            changed = changes.setdefault(total_key(document), [0] * 12)
            for index, number in enumerate(numbers(document)):
                changed[index] += sign * number
    keys = [key for key, change in changes.items() if any(change)]
    table = tables.totals
    columns = [column.name for column in table.primary_key.columns]
    condition = " AND ".join(f"{name} = :{name}" for name in columns)
    query = text(f"SELECT sums FROM totals WHERE {condition}")  # noqa: S608
    rows, empty = [], []
    for key in keys:
        stored = connection.execute(query, msgspec.structs.asdict(key)).scalar()
        sums = (Sums.from_text(stored) if stored is not None else Sums()) + Sums(*changes[key])
        if sums.documents:
            rows.append((*msgspec.structs.astuple(key), sums.as_text()))
        else:
            empty.append(msgspec.structs.astuple(key))
    upsert(connection, table, rows)
    delete(connection, table, columns, empty)


def _write_findings(connection: Connection, decided: _Decided) -> None:
    stale = [chain for chain, old in decided.old.items() if old.findings]
    delete(connection, tables.findings, ["owner"], [(chain,) for chain in stale])
    upsert(
        connection,
        tables.findings,
        [
            (chain, number, finding.code, finding.document, encode(finding))
            for chain, new in decided.new.items()
            for number, finding in enumerate(new.findings)
        ],
    )


def _write_unsynced(connection: Connection, decided: _Decided) -> None:
    stale = [chain for chain, old in decided.old.items() if old.unsynced]
    delete(connection, tables.unsynced, ["chain"], [(chain,) for chain in stale])
    upsert(
        connection,
        tables.unsynced,
        [
            (chain, item.company, item.currency or "", item.records, item.amount)
            for chain, new in decided.new.items()
            for item in new.unsynced
        ],
    )


def _write_reference_findings(unit: Unit) -> None:
    found = list(unit.reference_findings())
    delete(unit.connection, tables.findings, ["owner"], [(key,) for key, _ in found])
    upsert(
        unit.connection,
        tables.findings,
        [
            (key, number, finding.code, finding.document, encode(finding))
            for key, findings in found
            for number, finding in enumerate(findings)
        ],
    )


# --- the rest of a batch ---------------------------------------------------------------------------------------------


def _keep_heartbeats(connection: Connection, heartbeats: Iterable[Heartbeat]) -> None:
    latest: dict[str, int] = {}
    for heartbeat in heartbeats:
        latest[heartbeat.source] = max(heartbeat.until, latest.get(heartbeat.source, heartbeat.until))
    if not latest:
        return
    stored = dict(select_rows(connection, tables.sources, ["source", "until"], "source", latest))
    upsert(
        connection,
        tables.sources,
        [(source, max(until, stored.get(source, until))) for source, until in latest.items()],
    )


def _keep_messages(connection: Connection, messages: Sequence[ProcessMessage]) -> list[Outgoing]:
    """The error log: complete, nothing cut (R50). A message that came twice is kept once."""
    rows = {}
    for message in messages:
        code = recognise(message.text).code if message.text else None
        key = (message.evidence.source, message.evidence.event)
        rows[key] = (
            *key,
            message.evidence.at,
            message.stage,
            message.process,
            message.run,
            message.company,
            message.subject,
            code,
            encode(message),
        )
    upsert(connection, tables.process_messages, list(rows.values()))
    return [
        Outgoing("errors", (message.subject or message.run).encode(), _json(_error_json(message)))
        for message in messages
        if message.text
    ]


def _error_json(message: ProcessMessage) -> dict[str, Any]:
    recognised = recognise(message.text or "")
    return {
        "at": iso(message.evidence.at),
        "process": message.process,
        "run": message.run,
        "company": message.company,
        "subject": message.subject,
        "code": recognised.code,
        "parameters": recognised.parameters,
        "text": message.text,
    }


def _put_out(connection: Connection, outgoing: Iterable[Outgoing]) -> None:
    rows = [{"topic": item.topic, "key": item.key, "value": item.value} for item in outgoing]
    if rows:
        connection.execute(insert(tables.outbox), rows)
