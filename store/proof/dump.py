"""The canonical dump: the contents of a store in key order, without anything that depends on how they came about.

Two stores are equal if their dumps are (`README.md`, "Two minutes"): no offsets, no locations of events, no clock, no
attempts.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, select

from engine.chains.records import Record
from engine.events.facts import Evidence, iso
from engine.reconciliation.documents import Chain, Document, Finding
from engine.serialization import document_json
from store.errorlog.error_log import every_purgeable
from store.projection.writer import purged_to
from store.schema import tables

_decode_chain: Final = msgspec.msgpack.Decoder(Chain).decode
_decode_record: Final = msgspec.msgpack.Decoder(Record).decode
_decode_finding: Final = msgspec.msgpack.Decoder(Finding).decode


def dump(engine: Engine) -> Iterator[dict[str, Any]]:
    """Yield the dump as JSON objects: records, chains with their documents and findings, findings of referenced rows,
    materialised totals, sources.
    """
    with engine.connect() as connection, connection.begin():
        yield from contents(connection)


def contents(connection: Connection) -> Iterator[dict[str, Any]]:
    """Yield the dump from the snapshot of an open transaction."""
    yield from _records(connection)
    yield from _chains(connection)
    yield from _reference_findings(connection)
    yield from _rows(connection)


def _records(connection: Connection) -> Iterator[dict[str, Any]]:
    table = tables.records
    for row in connection.execute(select(table.c.body).order_by(table.c.key).execution_options(yield_per=1_000)):
        record = _decode_record(row.body)
        yield {
            "record": record.key,
            "chain": record.chain,
            "seen": _event(record.latest_upsert),
            "deleted": _event(record.deleted),
            "columns": {
                name: {"value": value, "by": _event(record.evidence_of(name))}
                for name, value in sorted(record.values.items())
            },
            "joins": record.joins,
            "refers": record.refers,
            **_past(record),
        }


def _past(record: Record) -> dict[str, Any]:
    """Return the former values of link columns, the identity values that follow from them, and what a deleted row said;
    nothing for a record without.
    """
    former = {
        column: [{"value": item.value, "by": _event(item.evidence)} for item in values]
        for column, values in sorted(record.former.items())
    }
    hidden = {
        column: {"value": item.value, "by": _event(item.evidence)} for column, item in sorted(record.hidden.items())
    }
    past = {"former": former, "crowded": record.crowded, "hidden": hidden, "trails": record.trails}
    return {name: value for name, value in past.items() if value}


def _chains(connection: Connection) -> Iterator[dict[str, Any]]:
    table = tables.chains
    for row in connection.execute(select(table.c.body).order_by(table.c.id).execution_options(yield_per=1_000)):
        chain = _decode_chain(row.body)
        yield {
            "chain": chain.id,
            "records": list(chain.members),
            "documents": [_document(document) for document in chain.documents],
            "findings": [_finding(finding) for finding in chain.findings],
            "not_synced_to_finance": [msgspec.to_builtins(item) for item in chain.unsynced],
            "postings": [msgspec.structs.asdict(posting) for posting in chain.postings],
            "unlinked_actuals": [msgspec.to_builtins(item) for item in chain.unlinked],
        }


def _reference_findings(connection: Connection) -> Iterator[dict[str, Any]]:
    table = tables.findings
    for row in connection.execute(
        select(table.c.owner, table.c.body)
        .where(table.c.owner.not_in(select(tables.chains.c.id)))
        .order_by(table.c.owner, table.c.number)
    ):
        yield {"row": row.owner, "finding": _finding(_decode_finding(row.body))}


def _rows(connection: Connection) -> Iterator[dict[str, Any]]:
    """Yield the tables that are derived from the records, which must match them."""
    for table, name in (
        (tables.documents, "document_row"),
        (tables.totals, "total"),
        (tables.reconciliations, "reconciliation"),
        (tables.postings, "posting"),
        (tables.posting_totals, "posting_total"),
        (tables.ledger_entries, "ledger_entry"),
        (tables.sources, "source"),
        (tables.links, "link"),
        (tables.unlinked_actuals, "unlinked_actual"),
    ):
        order = list(table.primary_key.columns)
        for row in connection.execute(select(table).order_by(*order).execution_options(yield_per=1_000)).mappings():
            yield {name: dict(row)}
    messages = tables.process_messages.c
    before = purged_to(connection)
    # Messages to be purged count as deleted: when the worker purges them depends on its clock.
    purged = every_purgeable(connection, before) if before is not None else set()
    for message in connection.execute(
        select(messages.source, messages.event, messages.code).order_by(messages.source, messages.event)
    ):
        if (message.source, message.event) not in purged:
            yield {"process_message": [message.source, message.event, message.code]}
    for deletion in connection.execute(select(tables.deletions).order_by(tables.deletions.c.id)).mappings():
        yield {"deletion": dict(deletion)}


def _document(document: Document) -> dict[str, Any]:
    return {**document_json(document), "key": document.key, "by": _event(document.evidence)}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "subject": finding.subject,
        "document": finding.document,
        "parameters": finding.parameters,
        "by": _event(finding.evidence),
    }


def _event(evidence: Evidence | None) -> list[str] | None:
    """Return time, source and id of an event; without an id its digest."""
    if evidence is None:
        return None
    return [iso(evidence.at), evidence.source, evidence.event or evidence.digest.hex()]
