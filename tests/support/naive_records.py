"""Events merged into records by the naive model, and what records say about companies and ledgers."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

from tests.support.naive_values import choice, code, day, moment, row_id, text

RecordKey = tuple[str, str]
Precedence = tuple[datetime, int, bytes]
PENDING_LINE = "VendInvoiceInfoLine"
PENDING_PROJECT = "VendInvoiceInfoLine_Project"
KEPT_ON_DELETE = {PENDING_LINE, PENDING_PROJECT}
PERIOD_OPERATING, PERIOD_OPEN = 1, 1


@dataclass
class Record:
    """A row of either system as last seen: of each column the value of highest precedence."""

    entity: str
    id: str
    system: str
    columns: dict[str, Any]
    times: dict[str, datetime]  # of each column: when the event that set it happened
    touched: datetime  # time of the latest event with the row
    company: str | None = None
    is_ghost: bool = False  # deleted, as it last was
    is_former: bool = False  # with links that it had once

    @property
    def key(self) -> RecordKey:
        return self.entity, self.id

    def get(self, *columns: str) -> Any:
        """The first of the columns that is not null."""
        return next((self.columns[c] for c in columns if self.columns.get(c) is not None), None)

    def text(self, *columns: str) -> str | None:
        """Return the first of the columns that has a value."""
        return next((result for c in columns if (result := text(self.columns.get(c)))), None)


@dataclass
class Change:
    """The decoded values of one row event."""

    precedence: Precedence
    system: str
    delete: bool
    columns: dict[str, Any]


COMPANY_OF_EVENT = "(company of the event)"


def change_of(event: dict[str, Any]) -> tuple[RecordKey, Change] | None:
    """Read a row event; None for one that is not about a row or that has no time."""
    value = event["value"]
    data = value.get("data") or {}
    if value.get("type") != "tieout.row.changed":
        return None
    columns = dict(data.get("columns") or {})
    at = moment(columns.get("modifiedon")) or moment(value.get("time"))
    if at is None:
        return None
    if "company" in data:
        columns[COMPANY_OF_EVENT] = data["company"]
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=False).encode()
    precedence = (at, int(data.get("version") or 0), blake2b(body, digest_size=16).digest())
    change = Change(precedence, system_of(value), data["operation"] == "delete", columns)
    return (data["entity"], row_id(data["id"]) or ""), change


def system_of(value: dict[str, Any]) -> str:
    return "finance" if value["source"].startswith("/finance/") else "dataverse"


def merge(key: RecordKey, changes: list[Change]) -> Record | None:
    """The row after all its changes; None when a delete hides everything."""
    entity, id_ = key
    if entity not in KEPT_ON_DELETE:
        deleted = max((c.precedence for c in changes if c.delete), default=None)
        changes = [c for c in changes if deleted is None or c.precedence > deleted]
    changes = sorted((c for c in changes if not c.delete), key=lambda c: c.precedence)
    if not changes:
        return None
    columns: dict[str, Any] = {}
    times: dict[str, datetime] = {}
    for change in changes:  # in order of precedence: the last one to set a column wins
        columns.update(change.columns)
        times.update(dict.fromkeys(change.columns, change.precedence[0]))
    return Record(entity, id_, changes[-1].system, columns, times, changes[-1].precedence[0])


class Records:
    """The records of all events, with their companies, ledgers and currencies."""

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        events = list(events)
        changes: dict[RecordKey, list[Change]] = defaultdict(list)
        for event in events:
            if changed := change_of(event):
                changes[changed[0]].append(changed[1])
        self.changes = changes
        merged = {key: merge(key, of_row) for key, of_row in changes.items()}
        self.records = {key: record for key, record in merged.items() if record}
        self.entities_seen = {entity for entity, _ in changes}
        self.complete_until = complete_until(events)
        for record in self.records.values():
            record.company = self._company_of(record)

    def _all(self, entity: str) -> list[Record]:
        result = [record for record in self.records.values() if record.entity == entity]
        return sorted(result, key=lambda record: record.key)

    def _find(self, entity: str, reference: Any) -> Record | None:
        return self.records.get((entity, row_id(reference) or ""))

    def _company_of(self, record: Record) -> str | None:
        """The owning company where it can be read, else the company of the event."""
        if record.system == "dataverse":
            company = self._find("cdm_company", record.get("msdyn_owningcompany", "assumed_owningcompany"))
            if company and (result := code(company.get("cdm_companycode"))):
                return result
        return code(record.get(COMPANY_OF_EVENT))

    def _ledger(self, company: str) -> Record | None:
        for info in self._all("CompanyInfo"):
            if code(info.get("DataArea")) == company.upper():
                for ledger in self._all("Ledger"):
                    if row_id(ledger.get("PrimaryForLegalEntity")) == info.id:
                        return ledger
        return None

    def _accounting_currency(self, company: str) -> str | None:
        ledger = self._ledger(company)
        return code(ledger.get("AccountingCurrency")) if ledger else None

    def _currency_of(self, actual: Record) -> str | None:
        currency = self._find("transactioncurrency", actual.get("transactioncurrencyid"))
        return code(currency.get("isocurrencycode")) if currency else None

    def window(self, company: str, today: date | str) -> tuple[date, date] | None:
        """From the earliest open operating period of this and the previous fiscal year to today."""
        until = day(today)
        ledger = self._ledger(company)
        if ledger is None or until is None:
            return None
        years = sorted(
            (starts, ends, year.id)
            for year in self._all("FiscalCalendarYear")
            if row_id(year.get("FiscalCalendar")) == row_id(ledger.get("FiscalCalendar"))
            if (starts := day(year.get("StartDate"))) and (ends := day(year.get("EndDate")))
        )
        current = next((n for n, (starts, ends, _) in enumerate(years) if starts <= until <= ends), None)
        if current is None:
            return None
        both = {id_ for _, _, id_ in years[max(0, current - 1) : current + 1]}
        open_periods = {
            row_id(status.get("FiscalCalendarPeriod"))
            for status in self._all("LedgerFiscalCalendarPeriod")
            if row_id(status.get("Ledger")) == ledger.id and choice(status.get("Status")) == PERIOD_OPEN
        }
        starts_of_open = [
            starts
            for period in self._all("FiscalCalendarPeriod")
            if period.id in open_periods
            and choice(period.get("Type")) == PERIOD_OPERATING
            and row_id(period.get("FiscalCalendarYear")) in both
            and (starts := day(period.get("StartDate")))
        ]
        return (min(starts_of_open), until) if starts_of_open else None


def complete_until(events: list[dict[str, Any]]) -> dict[str, datetime]:
    """The watermark of each system; a system without heartbeat is absent."""
    until: dict[str, datetime] = {}
    for event in events:
        value = event["value"]
        if value.get("type") == "tieout.source.complete" and (at := moment(value["data"]["until"])):
            system = system_of(value)
            until[system] = max(at, until.get(system, at))
    return until
