"""The writes of a batch, computed completely before its transaction begins, so that the transaction only executes
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
from engine.reconciliation.documents import Chain, Document, Finding, Posting
from engine.reconciliation.unlinked_actuals import tokens_of_actual
from engine.serialization import document_json
from engine.sync.attempts import Request
from store.operational.pins import setting_name
from store.projection.batch_projection import BatchProjection, _decode_chain, encode
from store.projection.outgoing import Outgoing
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.projection.recent_cache import RecentCache
from store.projection.tile_totals import (
    SUMMED,
    PostingKey,
    PostingTotal,
    ReconciliationKey,
    TotalKey,
    Totals,
    contribution,
    posting_key,
    posting_total,
    reconciliation_key,
    total_key,
    views_of,
)
from store.schema import tables
from store.schema.bulk_sql import delete, insert, upsert
from store.schema.document_columns import document_row

_json = msgspec.json.Encoder().encode
_NO_TOTALS: Final = Totals()
_WIDTH: Final = len(Totals.__struct_fields__)
# Indexes of columns of the table `notices`.
_NOTICED: Final = 4
_ANSWERED: Final = 5

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class OffsetAdvance(msgspec.Struct, frozen=True):
    """An advance of the offset of one partition from `follows`, the committed offset, to `next`."""

    topic: str
    partition: int
    follows: int
    next: int
    last: str | None = None
    """Outbox id of the last record, once committed."""


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A sync request and its location on the commands topic."""

    topic: str
    partition: int
    offset: int
    request: Request


class DecodedBatch(msgspec.Struct):
    """The decoded contents of one batch of log records."""

    changes: list[tuple[Change, EntityMap]] = []
    heartbeats: list[Heartbeat] = []
    messages: list[ProcessMessage] = []
    deletions: list[Deletion] = []
    requests: list[ReceivedRequest] = []
    rejected: list[Outgoing] = []
    notices: list[Outgoing] = []
    reread_requests: list[RereadRequest] = []
    reread_answers: list[RereadRequest] = []
    """Answered re-read requests, each with the time as of which its row was read."""
    applied_commands: list[str] = []
    """IDs of inbox commands that the batch applies."""
    advances: list[OffsetAdvance] = []
    pins: Mapping[tuple[str, str], str] = {}
    """Environments to pin (`store.operational.pins`)."""


class Plan(msgspec.Struct):
    """The statements of one transaction, the records it publishes, and its uncommitted writes for the next batch."""

    projection: BatchProjection
    advances: list[OffsetAdvance]
    publishes: bool
    """False while a store is rebuilt: nothing is put into the outbox and no sync is requested. Differences are
    published when the rebuilt store is swapped in.
    """
    statements: list[Callable[[Connection], None]] = []
    rows: int = 0
    """Number of rows that the statements write and delete."""
    outgoing: list[Outgoing] = []
    last: int = 0
    """The number of the last of them in the outbox, once committed."""
    messages: list[ProcessMessage] = []
    deletions: list[Deletion] = []
    """Messages and deletions may change the status of errors. It is computed within the transaction, after all other
    statements; this is rare.
    """
    requests: list[ReceivedRequest] = []
    """Requests to hand to the attempt log."""
    uncommitted: UncommittedWrites = msgspec.field(default_factory=UncommittedWrites)
    chain_bodies: dict[str, bytes] = {}
    sources: dict[str, int] = {}

    def insert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows whose keys do not exist."""
        if rows:
            self.statements.append(partial(insert, table=table, rows=rows))
            self.rows += len(rows)

    def upsert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, replacing those of the same key."""
        if rows:
            self.statements.append(partial(upsert, table=table, rows=rows))
            self.rows += len(rows)

    def delete(self, table: Table, columns: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> None:
        """Delete the rows whose columns have one of these values."""
        if keys:
            self.statements.append(partial(delete, table=table, columns=columns, keys=keys))
            self.rows += len(keys)


def plan_batch(
    projection: BatchProjection, batch: DecodedBatch, sources: Mapping[str, int], *, publishes: bool
) -> Plan:
    """Return the plan of a batch whose projection is complete. `sources` are the known heartbeats."""
    rows = projection.rows
    plan = Plan(projection, batch.advances, publishes)
    _plan_records(plan)
    _plan_decisions(plan, rows)
    _plan_reference_findings(plan)
    _plan_ledger_entries(plan)
    _plan_heartbeats(plan, batch.heartbeats, sources)
    plan.delete(tables.inbox, ["id"], [(command,) for command in sorted(set(batch.applied_commands))])
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
    projection = plan.projection
    rows = [(key, encode(projection.records[key])) for key in sorted(projection.changed)]
    plan.insert(tables.records, [row for row in rows if row[0] in projection.created])
    plan.upsert(tables.records, [row for row in rows if row[0] not in projection.created])
    plan.delete(tables.links, ["token", "record"], sorted(projection.links_removed))
    # In the order of the B-tree, which saves searching for pages; the order within a token is irrelevant.
    plan.insert(tables.links, sorted(projection.links_added, key=itemgetter(0)))
    plan.upsert(tables.recomputations, [(token, "") for token in projection.postponed])


# --- chains ----------------------------------------------------------------------------------------------------------


def _plan_decisions(plan: Plan, rows: ReadYourWrites) -> None:
    """Write the chains whose result has changed."""
    projection = plan.projection
    bodies: dict[str, bytes] = {}
    new: dict[str, Chain] = {}
    for chain, decided in projection.new_chains.items():
        body = encode(decided)
        if projection.old_chains.get(chain) != body:
            bodies[chain] = body
            new[chain] = decided
    deleted = [chain for chain in projection.old_chains if chain not in projection.new_chains]
    old = {
        chain: _decode_chain(projection.old_chains[chain])
        for chain in [*bodies, *deleted]
        if chain in projection.old_chains
    }
    changed = sorted(bodies.items())
    plan.insert(tables.chains, [row for row in changed if row[0] not in old])
    plan.upsert(tables.chains, [row for row in changed if row[0] in old])
    plan.delete(tables.chains, ["id"], [(chain,) for chain in deleted])
    _plan_findings(
        plan,
        [chain for chain, before in old.items() if before.findings],
        ((chain, after.findings) for chain, after in new.items()),
    )
    _plan_unsynced(plan, old, new)
    _plan_unlinked(plan, old, new)
    old_documents, new_documents = _documents(old), _documents(new)
    _plan_documents(plan, new, old_documents, new_documents)
    plan.chain_bodies = {**projection.old_chains, **bodies}
    plan.uncommitted = UncommittedWrites(
        records={key: projection.records[key] for key in projection.changed},
        chains=bodies,
        deleted_chains=frozenset(deleted),
        links_added=projection.links_added,
        links_removed=projection.links_removed,
        totals=_plan_totals(plan, rows, old_documents, new_documents),
        reconciliations=_plan_reconciliations(plan, rows, old_documents, new_documents),
        postings=_plan_postings(plan, rows, old, new),
    )


Documents = Mapping[str, Document]
"""Documents by key."""


def _documents(chains: Mapping[str, Chain]) -> Documents:
    return {document.key: document for chain in chains.values() for document in chain.documents}


def _plan_documents(plan: Plan, chains: Mapping[str, Chain], old: Documents, new: Documents) -> None:
    """Write documents that are new, changed or in another chain."""
    written = sorted(
        document_row(document, chain.id, views_of(document))
        for chain in chains.values()
        for document in chain.documents
    )
    plan.insert(tables.documents, [row for row in written if row[0] not in old])
    plan.upsert(tables.documents, [row for row in written if row[0] in old])
    plan.delete(tables.documents, ["key"], [(key,) for key in old if key not in new])
    if plan.publishes:
        plan.outgoing += _positions(old, new)


def _positions(old: Documents, new: Documents) -> list[Outgoing]:
    """Return a record of the positions topic for each changed document, and a tombstone for each deleted name."""
    names = {document.document for document in new.values()}
    deleted_names = sorted({document.document for document in old.values()} - names)
    return [
        *(
            Outgoing("positions", document.document.encode(), position_json(document))
            for key, document in new.items()
            if old.get(key) != document
        ),
        *(Outgoing("positions", name.encode(), None) for name in deleted_names),
    ]


def position_json(document: Document) -> bytes:
    """Return the JSON of `tieout documents` without null members, which would be a large part of the topic."""
    return _json({name: value for name, value in document_json(document).items() if value is not None})


def _plan_totals(plan: Plan, rows: ReadYourWrites, old: Documents, new: Documents) -> dict[TotalKey, Totals]:
    """Write the materialised totals behind the tiles. Return those that change."""
    gained, lost = _contributions(new), _contributions(old)
    changes: dict[TotalKey, Totals] = {}
    for key in gained.keys() | lost.keys():
        change = [plus - minus for plus, minus in zip(_added(gained.get(key)), _added(lost.get(key)), strict=True)]
        if any(change):
            changes[key] = Totals(*change)
    stored = _stored(plan.projection.cache.totals, changes.keys(), rows.totals)
    totals = {key: stored.get(key, _NO_TOTALS) + change for key, change in changes.items()}
    table = tables.totals
    kept = [(*msgspec.structs.astuple(key), sums.as_text()) for key, sums in totals.items() if sums.documents]
    plan.upsert(table, kept)
    columns = [column.name for column in table.primary_key.columns]
    plan.delete(table, columns, [msgspec.structs.astuple(key) for key, sums in totals.items() if not sums.documents])
    return totals


def _plan_reconciliations(
    plan: Plan, rows: ReadYourWrites, old: Documents, new: Documents
) -> dict[ReconciliationKey, int]:
    """Write the reconciled amounts by day. Return those that change."""
    changes: dict[ReconciliationKey, int] = {}
    for sign, documents in ((1, new), (-1, old)):
        for document in documents.values():
            if document.accounting and document.accounting.reconciled and views_of(document) & SUMMED:
                key = reconciliation_key(document.company or "", document.date or "", document.since)
                changes[key] = changes.get(key, 0) + sign * document.accounting.reconciled
    stored = _stored(plan.projection.cache.reconciliations, changes.keys(), rows.reconciliations)
    amounts = {key: stored.get(key, 0) + change for key, change in changes.items() if change}
    plan.upsert(tables.reconciliations, [(*key, str(amount)) for key, amount in amounts.items() if amount])
    plan.delete(
        tables.reconciliations, ReconciliationKey._fields, [key for key, amount in amounts.items() if not amount]
    )
    return amounts


def _plan_postings(
    plan: Plan, rows: ReadYourWrites, old: Mapping[str, Chain], new: Mapping[str, Chain]
) -> dict[PostingKey, PostingTotal]:
    """Write the postings of these chains and their materialised totals. Return the totals that change."""
    before = {posting.key: (posting, chain.id) for chain in old.values() for posting in chain.postings}
    after = {posting.key: (posting, chain.id) for chain in new.values() for posting in chain.postings}
    changed = sorted(
        _posting_row(posting, chain) for key, (posting, chain) in after.items() if before.get(key) != (posting, chain)
    )
    plan.insert(tables.postings, [row for row in changed if row[0] not in before])
    plan.upsert(tables.postings, [row for row in changed if row[0] in before])
    plan.delete(tables.postings, ["key"], [(key,) for key in before if key not in after])
    changes: dict[PostingKey, PostingTotal] = {}
    for sign, postings in ((1, after), (-1, before)):
        for posting, _ in postings.values():
            key = posting_key(posting)
            changes[key] = changes.get(key, PostingTotal()).plus(posting_total(posting), sign)
    changes = {key: change for key, change in changes.items() if any(change)}
    stored = _stored(plan.projection.cache.postings, changes.keys(), rows.postings)
    totals = {key: stored.get(key, PostingTotal()).plus(change) for key, change in changes.items()}
    kept = [(*key, *total[:-1], str(total.amount)) for key, total in totals.items() if total.postings]
    plan.upsert(tables.posting_totals, kept)
    plan.delete(tables.posting_totals, PostingKey._fields, [key for key, total in totals.items() if not total.postings])
    return totals


def _posting_row(posting: Posting, chain: str) -> tuple[Any, ...]:
    kind, document, part = posting.kind or "", posting.document or "", posting.part or ""
    return (
        *(posting.key, chain, posting.company, kind, document, part),
        *(posting.currency or "", posting.amount, posting.date or ""),
        *(posting.voucher, posting.project, posting.name),
    )


def _stored(cache: RecentCache[K, V], keys: Set[K], read: Callable[[Set[K]], dict[K, V]]) -> dict[K, V]:
    """Return the stored values of these keys: from the cache, else by `read`."""
    cached = {key: value for key in keys if (value := cache.get(key)) is not None}
    return cached | read(keys - cached.keys())


def _contributions(documents: Documents) -> dict[TotalKey, list[tuple[int, ...]]]:
    contributions: dict[TotalKey, list[tuple[int, ...]]] = {}
    for document in documents.values():
        contributions.setdefault(total_key(document), []).append(contribution(document))
    return contributions


def _added(contributions: list[tuple[int, ...]] | None) -> Iterable[int]:
    return map(sum, zip(*contributions, strict=True)) if contributions else repeat(0, _WIDTH)


def _plan_findings(
    plan: Plan, stale: Iterable[str], findings_by_owner: Iterable[tuple[str, Sequence[Finding]]]
) -> None:
    """Replace the findings of these owners."""
    plan.delete(tables.findings, ["owner"], [(owner,) for owner in stale])
    plan.insert(
        tables.findings,
        [
            (owner, number, finding.code, finding.document, encode(finding))
            for owner, findings in findings_by_owner
            for number, finding in enumerate(findings)
        ],
    )


def _plan_reference_findings(plan: Plan) -> None:
    findings = plan.projection.reference_findings
    # A new row has none yet.
    stale = [key for key, _ in findings if key not in plan.projection.created]
    _plan_findings(plan, stale, findings)


def _plan_ledger_entries(plan: Plan) -> None:
    """Write the entries of the ledger that changed, and delete those that are none of the integration accounts."""
    entries, created = plan.projection.ledger_entries, plan.projection.created
    rows = sorted(msgspec.structs.astuple(entry) for entry in entries.values() if entry is not None)
    plan.insert(tables.ledger_entries, [row for row in rows if row[0] in created])
    plan.upsert(tables.ledger_entries, [row for row in rows if row[0] not in created])
    # A new row has none yet.
    plan.delete(
        tables.ledger_entries,
        ["key"],
        [(key,) for key, entry in sorted(entries.items()) if entry is None and key not in created],
    )


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


def _plan_unlinked(plan: Plan, old: Mapping[str, Chain], new: Mapping[str, Chain]) -> None:
    plan.delete(tables.unlinked_actuals, ["chain"], [(chain,) for chain, before in old.items() if before.unlinked])
    plan.insert(
        tables.unlinked_actuals,
        [
            (chain, token, actual.key, actual.currency, actual.category)
            for chain, after in new.items()
            for actual in after.unlinked
            for token in tokens_of_actual(actual)
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
    """Write re-read requests and answers: the maximum time of each by row, in any order of arrival."""
    projection = plan.projection
    notices = {notice.key: notice for notice in (*batch.reread_answers, *batch.reread_requests)}
    # Including requests that a row of this batch may answer.
    known = rows.notices(notices.keys() | (projection.changed & projection.cache.waiting))
    if not notices and not known:
        return
    rows_by_key = {key: list(row) for key, row in known.items()}
    for key, notice in notices.items():
        rows_by_key.setdefault(key, [key, notice.source, notice.entity, int(notice.has_id), UNDATED, UNDATED])
    for column, reread_notices in ((_NOTICED, batch.reread_requests), (_ANSWERED, batch.reread_answers)):
        for notice in reread_notices:
            row = rows_by_key[notice.key]
            row[column] = max(row[column], notice.at)
    records = dict(rows.records(key for key in rows_by_key if key not in projection.records))
    for key, row in rows_by_key.items():
        if (record := projection.records.get(key) or records.get(key)) is not None:
            deleted = UNDATED if record.deleted is None else record.deleted.at
            row[_ANSWERED] = max(row[_ANSWERED], UNDATED if record.read is None else record.read, deleted)
    changed = {key: tuple(row) for key, row in rows_by_key.items() if known.get(key) != tuple(row)}
    plan.upsert(tables.notices, sorted(changed.values()))
    plan.uncommitted.notices = changed


def is_waiting(notice: Sequence[Any]) -> bool:
    """Return True if a row of the table `notices` was not read since the last re-read request."""
    return bool(notice[_NOTICED] > notice[_ANSWERED])


def _plan_messages(plan: Plan, messages: Sequence[ProcessMessage]) -> None:
    """Write the error log completely and untruncated (R50). A duplicate message is stored once."""
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
    """Write deletions of errors by people. A duplicate command counts once."""
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
