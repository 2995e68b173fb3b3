"""What a batch writes: worked out in full before its transaction begins, so that the transaction is nothing but
statements.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Table

from engine.errorlog.known_messages import recognise
from engine.errorlog.lifecycle import Deletion, subject_of
from engine.events.facts import UNDATED, Change, Heartbeat, ProcessMessage
from engine.events.notices import RereadRequest
from engine.mapping.compiler import EntityMap
from engine.reconciliation.documents import Chain, Document, Finding
from engine.serialization import document_json
from engine.sync.attempts import Request
from store.operational.pins import setting_name
from store.projection.batch_projection import BatchProjection, _decode_chain, encode
from store.projection.outgoing import Outgoing
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.projection.recent_cache import RecentCache
from store.projection.tile_totals import (
    SUMMED,
    ReconciliationKey,
    TotalKey,
    Totals,
    contribution,
    reconciliation_key,
    total_key,
    views_of,
)
from store.schema import tables
from store.schema.bulk_sql import delete, insert, upsert

_json = msgspec.json.Encoder().encode
_NO_SUMS: Final = Totals()
# Their places in a row of the table of notices.
_NOTICED: Final = 4
_ANSWERED: Final = 5

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class OffsetAdvance(msgspec.Struct, frozen=True):
    """A step through one partition: from the record that `follows` the last one applied to the `next` one to read."""

    topic: str
    partition: int
    follows: int
    next: int
    last: str | None = None
    """A digest of the record before `next`, by which the log is known again."""


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A sync request and its place on the commands topic."""

    topic: str
    partition: int
    offset: int
    request: Request


class DecodedBatch(msgspec.Struct):
    """What one read from the log came to."""

    changes: list[tuple[Change, EntityMap]] = []
    heartbeats: list[Heartbeat] = []
    messages: list[ProcessMessage] = []
    deletions: list[Deletion] = []
    requests: list[ReceivedRequest] = []
    rejected: list[Outgoing] = []
    notices: list[Outgoing] = []
    reread_requests: list[RereadRequest] = []
    reread_answers: list[RereadRequest] = []
    """Notices that were answered, each as of its own time."""
    applied_commands: list[str] = []
    """Commands that waited in the inbox."""
    advances: list[OffsetAdvance] = []
    pins: Mapping[tuple[str, str], str] = {}
    """Environments that are pinned from now on: `store.operational.pins`."""


class Plan(msgspec.Struct):
    """The statements of one transaction, what it publishes, and what it leaves for the next batch to read."""

    unit: BatchProjection
    advances: list[OffsetAdvance]
    publishes: bool
    """Whether anything is put into the outbox and asked for: not by a rebuilt store; what changes is published when it
    takes over."""
    steps: list[Callable[[Connection], None]] = []
    rows: int = 0
    """How many rows they write and delete."""
    outgoing: list[Outgoing] = []
    last: int = 0
    """The number of the last of them in the outbox, once committed."""
    messages: list[ProcessMessage] = []
    deletions: list[Deletion] = []
    """What may change where errors stand. That is looked up within the transaction, so that it rests on everything
    that was written before; it is rare.
    """
    requests: list[ReceivedRequest] = []
    """What is asked of the attempt log."""
    written: UncommittedWrites = msgspec.field(default_factory=UncommittedWrites)
    known_chains: dict[str, bytes] = {}
    sources: dict[str, int] = {}

    def insert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows that are not there yet."""
        if rows:
            self.steps.append(partial(insert, table=table, rows=rows))
            self.rows += len(rows)

    def upsert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows, replacing those of the same key."""
        if rows:
            self.steps.append(partial(upsert, table=table, rows=rows))
            self.rows += len(rows)

    def delete(self, table: Table, columns: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> None:
        """Delete the rows whose columns have one of these values."""
        if keys:
            self.steps.append(partial(delete, table=table, columns=columns, keys=keys))
            self.rows += len(keys)


def plan_batch(
    unit: BatchProjection, rows: ReadYourWrites, batch: DecodedBatch, sources: Mapping[str, int], *, publishes: bool
) -> Plan:
    """The plan of a batch whose changes `unit` has taken; `sources` is how far each has said to have sent."""
    unit.decide()
    plan = Plan(unit, batch.advances, publishes)
    _plan_records(plan)
    _plan_decisions(plan, rows)
    _plan_reference_findings(plan)
    _plan_heartbeats(plan, batch.heartbeats, sources)
    plan.delete(tables.inbox, ["id"], [(one,) for one in sorted(set(batch.applied_commands))])
    _plan_messages(plan, batch.messages)
    _plan_deletions(plan, batch.deletions)
    _plan_notices(plan, rows, batch)
    if publishes:
        plan.requests += batch.requests
        plan.upsert(tables.settings, [(setting_name(pin), name) for pin, name in batch.pins.items()])
        plan.outgoing += batch.rejected
        plan.outgoing += batch.notices
    return plan


def _plan_records(plan: Plan) -> None:
    unit = plan.unit
    rows = [(key, encode(unit.records[key])) for key in sorted(unit.changed)]
    plan.insert(tables.records, [row for row in rows if row[0] in unit.created])
    plan.upsert(tables.records, [row for row in rows if row[0] not in unit.created])
    plan.delete(tables.links, ["token", "record"], sorted(unit.links_removed))
    # In the order of the tree, which spares it the search for a page; among records of one token any order will do.
    plan.insert(tables.links, sorted(unit.links_added, key=itemgetter(0)))
    plan.upsert(tables.recomputations, [(token, "") for token in unit.postponed])


# --- chains ----------------------------------------------------------------------------------------------------------


def _plan_decisions(plan: Plan, rows: ReadYourWrites) -> None:
    """Write what is decided differently now."""
    unit = plan.unit
    bodies: dict[str, bytes] = {}
    new: dict[str, Chain] = {}
    for chain, decided in unit.new_chains.items():
        body = encode(decided)
        if unit.old_chains.get(chain) != body:
            bodies[chain] = body
            new[chain] = decided
    gone = [chain for chain in unit.old_chains if chain not in unit.new_chains]
    old = {chain: _decode_chain(unit.old_chains[chain]) for chain in [*bodies, *gone] if chain in unit.old_chains}
    changed = sorted(bodies.items())
    plan.insert(tables.chains, [row for row in changed if row[0] not in old])
    plan.upsert(tables.chains, [row for row in changed if row[0] in old])
    plan.delete(tables.chains, ["id"], [(chain,) for chain in gone])
    _plan_findings(
        plan,
        [chain for chain, before in old.items() if before.findings],
        ((chain, after.findings) for chain, after in new.items()),
    )
    _plan_unsynced(plan, old, new)
    old_documents, new_documents = _documents(old), _documents(new)
    _plan_documents(plan, new, old_documents, new_documents)
    plan.known_chains = {**unit.old_chains, **bodies}
    plan.written = UncommittedWrites(
        records={key: unit.records[key] for key in unit.changed},
        chains=bodies,
        chains_gone=frozenset(gone),
        links_added=unit.links_added,
        links_removed=unit.links_removed,
        totals=_plan_totals(plan, rows, old_documents, new_documents),
        reconciliations=_plan_reconciliations(plan, rows, old_documents, new_documents),
    )


Documents = Mapping[str, Document]
"""By their keys."""


def _documents(chains: Mapping[str, Chain]) -> Documents:
    return {document.key: document for chain in chains.values() for document in chain.documents}


def _plan_documents(plan: Plan, chains: Mapping[str, Chain], old: Documents, new: Documents) -> None:
    """Write documents that are new, other than before, or of another chain."""
    written = sorted(document_row(chain.id, document) for chain in chains.values() for document in chain.documents)
    plan.insert(tables.documents, [row for row in written if row[0] not in old])
    plan.upsert(tables.documents, [row for row in written if row[0] in old])
    plan.delete(tables.documents, ["key"], [(key,) for key in old if key not in new])
    if plan.publishes:
        plan.outgoing += _positions(old, new)


def _positions(old: Documents, new: Documents) -> list[Outgoing]:
    """Each changed document for the positions topic, and a tombstone for each name that is gone."""
    names = {document.document for document in new.values()}
    gone = sorted({document.document for document in old.values()} - names)
    return [
        *(
            Outgoing("positions", document.document.encode(), position_json(document))
            for key, document in new.items()
            if old.get(key) != document
        ),
        *(Outgoing("positions", name.encode(), None) for name in gone),
    ]


def position_json(document: Document) -> bytes:
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
        document.project_name,
        document.vendor_name,
        document.line_number,
        document.exchange_rate,
        document.journal_line_amount,
        document.journal_line_currency,
        document.journal_voucher,
        document.posted_date,
        " ".join(document.findings) or None,
        int(document.has_actual),
    )


def _plan_totals(plan: Plan, rows: ReadYourWrites, old: Documents, new: Documents) -> dict[TotalKey, Totals]:
    """Write the sums that the tiles are made of; returns those that change."""
    gained, lost = _numbers(new), _numbers(old)
    changes: dict[TotalKey, Totals] = {}
    for key in gained.keys() | lost.keys():
        change = [one - other for one, other in zip(_added(gained.get(key)), _added(lost.get(key)), strict=True)]
        if any(change):
            changes[key] = Totals(*change)
    known = _known(plan.unit.state.totals, changes.keys(), rows.totals)
    totals = {key: known.get(key, _NO_SUMS) + change for key, change in changes.items()}
    table = tables.totals
    kept = [(*msgspec.structs.astuple(key), sums.as_text()) for key, sums in totals.items() if sums.documents]
    plan.upsert(table, kept)
    columns = [column.name for column in table.primary_key.columns]
    plan.delete(table, columns, [msgspec.structs.astuple(key) for key, sums in totals.items() if not sums.documents])
    return totals


def _plan_reconciliations(
    plan: Plan, rows: ReadYourWrites, old: Documents, new: Documents
) -> dict[ReconciliationKey, int]:
    """Write what left the balance by day; returns the amounts that change."""
    changes: dict[ReconciliationKey, int] = {}
    for sign, documents in ((1, new), (-1, old)):
        for document in documents.values():
            if document.accounting and document.accounting.reconciled and views_of(document) & SUMMED:
                key = reconciliation_key(document.company or "", document.date or "", document.since)
                changes[key] = changes.get(key, 0) + sign * document.accounting.reconciled
    known = _known(plan.unit.state.reconciliations, changes.keys(), rows.reconciliations)
    amounts = {key: known.get(key, 0) + change for key, change in changes.items() if change}
    plan.upsert(tables.reconciliations, [(*key, str(amount)) for key, amount in amounts.items() if amount])
    plan.delete(
        tables.reconciliations, ReconciliationKey._fields, [key for key, amount in amounts.items() if not amount]
    )
    return amounts


def _known(recent: RecentCache[K, V], keys: Set[K], read: Callable[[Set[K]], dict[K, V]]) -> dict[K, V]:
    """What is kept under these keys: as remembered, else as `read`."""
    found = {key: value for key in keys if (value := recent.get(key)) is not None}
    return found | read(keys - found.keys())


def _numbers(documents: Documents) -> dict[TotalKey, list[tuple[int, ...]]]:
    found: dict[TotalKey, list[tuple[int, ...]]] = {}
    for document in documents.values():
        found.setdefault(total_key(document), []).append(contribution(document))
    return found


def _added(found: list[tuple[int, ...]] | None) -> Iterable[int]:
    return map(sum, zip(*found, strict=True)) if found else repeat(0, 12)


def _plan_findings(plan: Plan, stale: Iterable[str], found: Iterable[tuple[str, Sequence[Finding]]]) -> None:
    """Put the findings of these owners in place of those they had."""
    plan.delete(tables.findings, ["owner"], [(owner,) for owner in stale])
    plan.insert(
        tables.findings,
        [
            (owner, number, finding.code, finding.document, encode(finding))
            for owner, findings in found
            for number, finding in enumerate(findings)
        ],
    )


def _plan_reference_findings(plan: Plan) -> None:
    found = list(plan.unit.reference_findings())
    # One that is new has none yet.
    stale = [key for key, _ in found if key not in plan.unit.created]
    _plan_findings(plan, stale, found)


def _plan_unsynced(plan: Plan, old: Mapping[str, Chain], new: Mapping[str, Chain]) -> None:
    plan.delete(tables.unsynced, ["chain"], [(chain,) for chain, before in old.items() if before.unsynced])
    plan.insert(
        tables.unsynced,
        [
            (chain, item.company, item.currency or "", item.records, item.amount)
            for chain, after in new.items()
            for item in after.unsynced
        ],
    )


# --- the rest of a batch ---------------------------------------------------------------------------------------------


def _plan_heartbeats(plan: Plan, heartbeats: Iterable[Heartbeat], known: Mapping[str, int]) -> None:
    latest: dict[str, int] = {}
    for heartbeat in heartbeats:
        before = latest.get(heartbeat.source, known.get(heartbeat.source, heartbeat.until))
        latest[heartbeat.source] = max(heartbeat.until, before)
    plan.sources = latest
    plan.upsert(tables.sources, list(latest.items()))


def _plan_notices(plan: Plan, rows: ReadYourWrites, batch: DecodedBatch) -> None:
    """The last notice about each row and as of when it was read: the maximum of each, in whatever order they come."""
    unit = plan.unit
    notices = {notice.key: notice for notice in (*batch.reread_answers, *batch.reread_requests)}
    # Those that a row of this batch may answer.
    known = rows.notices(notices.keys() | (unit.changed & unit.state.waiting))
    if not notices and not known:
        return
    found = {key: list(row) for key, row in known.items()}
    for key, notice in notices.items():
        found.setdefault(key, [key, notice.source, notice.entity, int(notice.has_id), UNDATED, UNDATED])
    for place, several in ((_NOTICED, batch.reread_requests), (_ANSWERED, batch.reread_answers)):
        for notice in several:
            row = found[notice.key]
            row[place] = max(row[place], notice.at)
    records = dict(rows.records(key for key in found if key not in unit.records))
    for key, row in found.items():
        if (record := unit.records.get(key) or records.get(key)) is not None:
            deleted = UNDATED if record.deleted is None else record.deleted.at
            row[_ANSWERED] = max(row[_ANSWERED], UNDATED if record.read is None else record.read, deleted)
    changed = {key: tuple(row) for key, row in found.items() if known.get(key) != tuple(row)}
    plan.upsert(tables.notices, sorted(changed.values()))
    plan.written.notices = changed


def is_waiting(notice: Sequence[Any]) -> bool:
    """Whether a row of the table of notices was not read since its last notice."""
    return bool(notice[_NOTICED] > notice[_ANSWERED])


def _plan_messages(plan: Plan, messages: Sequence[ProcessMessage]) -> None:
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
            subject_of(message).key,
        )
    plan.upsert(tables.process_messages, list(rows.values()))
    plan.messages = list(messages)


def _plan_deletions(plan: Plan, deletions: Sequence[Deletion]) -> None:
    """What people took off the current list. A command that came twice counts once."""
    plan.deletions = list(deletions)
    rows = {
        deletion.id: (
            deletion.id,
            deletion.at,
            deletion.who,
            deletion.why,
            *deletion.subject,
            deletion.subject.key,
            deletion.until,
        )
        for deletion in deletions
    }
    plan.upsert(tables.deletions, list(rows.values()))
