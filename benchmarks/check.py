"""Checks after the timed part, by the product's own queries, that the store has the expected result of the load."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Engine, func, select

from benchmarks.figures import Checked
from benchmarks.job import Job
from benchmarks.workload import COMPANY, Expected, Part, Workload
from engine.money import UNITS
from store.projection.tile_totals import Totals
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Reader, Snapshot
from store.queries.summary import Amount
from store.schema import tables
from streams.log import EventLog
from streams.topics import REJECTED
from tieout.bootstrap import change_topics, load_maps, open_log, open_store

Values = dict[str, Part | int]

CENT: Final = Decimal("0.01")
_NOTHING: Final = Part(Decimal(0), 0)


def check(job: Job) -> Checked:
    """Compare, and make sure that the comparison would notice a cent or a document."""
    with open_store(job.settings, write=False) as engine, open_log(job.settings, write=False) as log:
        reader = Reader(engine, load_maps(job.settings), today=job.settings.today)
        with reader.snapshot() as snapshot:
            actual = {**_tiles(snapshot), **_sums(snapshot), **_left(engine, log, job)}
    expected = Workload(job.documents).expected()
    if wrong := faults(actual, expected):
        return Checked(wrong)
    return Checked([f"the check does not notice {other}" for other in _altered(expected) if not faults(actual, other)])


def faults(actual: Values, expected: Expected) -> list[str]:
    """Return the differences, one sentence each."""
    expected_values = _expected_values(expected)
    return [
        f"{name}: {actual.get(name)}, not {value}"
        for name, value in expected_values.items()
        if actual.get(name) != value
    ]


def _expected_values(expected: Expected) -> Values:
    return {
        "events read": expected.events,
        "documents": expected.documents,
        "expense missing actuals": expected.expense_missing_actuals,
        "expense missing journal lines": expected.expense_missing_journal_lines,
        "reconciled": expected.reconciled,
        "vendor invoice missing actuals": _NOTHING,
        "vendor invoice missing journal lines": _NOTHING,
        "difference": _NOTHING,
        "not synced to Finance": _NOTHING,
        "events rejected": 0,
        "waiting to be published": 0,
        "waiting to be decided again": 0,
    }


def _altered(expected: Expected) -> Iterator[Expected]:
    """The same with one cent, one document or one event more in a place."""
    yield replace(expected, events=expected.events + 1)
    yield replace(expected, documents=expected.documents + 1)
    for name in ("expense_missing_actuals", "expense_missing_journal_lines", "reconciled"):
        part: Part = getattr(expected, name)
        for other in (replace(part, amount=part.amount + CENT), replace(part, documents=part.documents + 1)):
            changes: dict[str, Any] = {name: other}
            yield replace(expected, **changes)


def _tiles(snapshot: Snapshot) -> Values:
    company = snapshot.company(COMPANY)
    summary = snapshot.summary(company, snapshot.window(company, None, None))
    tiles = {name.replace("_", " "): _part(amount) for name, amount in summary.tiles.items()}
    return {**tiles, "difference": _part(summary.difference), "not synced to Finance": _part(summary.not_synced)}


def _sums(snapshot: Snapshot) -> Values:
    window = snapshot.window(snapshot.company(COMPANY), None, None)
    everything = GridQuery(company=COMPANY, kind="expense", window=window)
    reconciled = GridQuery(company=COMPANY, kind="expense", window=window, view="reconciled")
    total = _total(snapshot.totals(reconciled))
    return {
        "documents": _total(snapshot.totals(everything)).documents,
        "reconciled": _part(Amount(total.accounting_reconciled, total.documents)),
    }


def _total(sums: dict[tuple[str, str], Totals]) -> Totals:
    """The sum over all currencies, of which only the accounting amounts mean something."""
    return sum(sums.values(), Totals())


def _left(engine: Engine, log: EventLog, job: Job) -> Values:
    """Return the committed offsets, the rejected records and the pending work."""
    settings = job.settings
    with engine.connect() as connection:
        offsets = {row.topic: row.next for row in connection.execute(select(tables.offsets))}
        waiting, postponed = (
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.outbox, tables.recomputations)
        )
    return {
        "events read": sum(offsets.get(topic, 0) for topic in change_topics(settings)),
        "events rejected": log.end_offset(REJECTED.full_name(settings.prefix), 0),
        "waiting to be published": waiting,
        "waiting to be decided again": postponed,
    }


def _part(amount: Amount) -> Part:
    return Part(Decimal(amount.amount) / UNITS, amount.documents)
