"""Rows of a grid, pages and chains, as they are shown."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from engine.chains.records import Record
from engine.events.facts import iso, microseconds
from engine.reconciliation.documents import Document, Finding
from engine.reconciliation.fields import DocumentField
from engine.reconciliation.grace import Moment, in_flight, shown_cause, timed_findings
from engine.reconciliation.settlement import SETTLED, is_settled
from engine.serialization import document_json
from engine.sync.refusals import Reason
from store.errorlog.error_log import ErrorEntry
from store.operational.attempts import Attempt, LastAttempt, last_attempts
from store.queries.grid_query import PageKey
from store.queries.possible_matches import possible_matches


class GridRow(msgspec.Struct, frozen=True):
    """A document with the values that depend on the time of reading, and its sync attempts.

    `last_retried` is the time of the last attempt (microseconds since 1970 UTC) and `attempts` the number of attempts
    in the current attempt cycle; both are None if no sync was ever requested. `matches` are the actuals without a
    document, by record key, that may be its cost.
    """

    document: Document
    cause: str | None
    in_flight: bool
    timed: tuple[str, ...]
    last_retried: int | None = None
    attempts: int | None = None
    matches: frozenset[str] = frozenset()

    @property
    def status(self) -> str:
        """The code of the status: the cause if it may be claimed, the exclusion, that the document is settled, else the
        position (in SQL `store.queries.filters.STATUS`).
        """
        return self.cause or self.document.excluded or (SETTLED if self.is_settled else self.document.position)

    @property
    def is_settled(self) -> bool:
        """Whether nothing about the money of the document is open."""
        return is_settled(self.document)

    @property
    def findings(self) -> tuple[str, ...]:
        """The codes of the findings, with those that depend on the time of reading and on other chains."""
        matched = ("possible-match",) if self.matches else ()
        return tuple(sorted({*self.document.findings, *self.timed, *matched}))

    def value(self, field: DocumentField) -> Any:
        """Return the value of a field at the time of reading."""
        at_reading = _AT_READING.get(field.name)
        return field.value(self.document) if at_reading is None else at_reading(self)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of `tieout documents`, whose members are stable."""
        retried = None if self.last_retried is None else iso(self.last_retried)
        return {
            **document_json(self.document),
            "cause": self.cause,
            "in_flight": self.in_flight,
            "settled": self.is_settled,
            "findings": list(self.findings),
            "last_retried": retried,
            "attempts": self.attempts,
        }


_AT_READING: Final[Mapping[str, Callable[[GridRow], Any]]] = {
    "standing": attrgetter("status"),
    **{name: attrgetter(name) for name in ("cause", "findings", "last_retried", "attempts")},
}


class Page(msgspec.Struct, frozen=True):
    """A page of a grid. `before` and `after` are the keys of the adjacent pages, None where there is none."""

    rows: list[GridRow]
    before: PageKey | None
    after: PageKey | None


class ChainView(msgspec.Struct, frozen=True):
    """A document with the records and findings of its chain, every sync attempt, newest first, and the current errors
    that name it.

    `refused` is the reason why Sync leaves the document alone, if its cause has one (`engine.sync.refusals`);
    `in_the_way` are the lines that keep its journal from being posted, by RecId.
    """

    row: GridRow
    chain: str
    records: list[Record]
    findings: list[Finding]
    attempts: list[Attempt] = []
    refused: Reason | None = None
    errors: list[ErrorEntry] = []
    in_the_way: tuple[str, ...] = ()


def rows_of(connection: Connection, documents: Sequence[Document], moment: Moment, end_of_today: int) -> list[GridRow]:
    """Return the rows of documents. `end_of_today` is in microseconds since 1970 UTC."""
    attempts = last_attempts(connection, [document.document for document in documents])
    matches = possible_matches(connection, documents)
    return [
        GridRow(
            document,
            shown_cause(document, moment),
            in_flight(document, moment),
            timed_findings(document, end_of_today),
            *_attempted(attempts.get(document.document)),
            matches.get(document.key, frozenset()),
        )
        for document in documents
    ]


def _attempted(last: LastAttempt | None) -> tuple[int | None, int | None]:
    return (None, None) if last is None else (last.last_at, last.made)


def end_of_day(today: date | None, now: datetime) -> int:
    """Return the end of a simulated day, or now without one, in microseconds since 1970 UTC."""
    if today is None:
        return microseconds(now)
    return microseconds(datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1))
