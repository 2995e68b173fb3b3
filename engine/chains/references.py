"""Reference data: rows that documents refer to but do not own, such as companies, currencies, ledger calendars and
headers.

The few rows that are needed constantly are resident in a `Directory`; the others are looked up through `ReferenceData`.
"""

from collections.abc import Iterable
from typing import Protocol, cast

from engine.calendar import Company, Period, PeriodStatus
from engine.chains.links import offer_of, target
from engine.chains.records import Row


class Directory:
    """An index of the resident rows. Re-created when one of them changes."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        by_role: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row.key):
            by_role.setdefault(row.role, []).append(row)
        self._currencies = {row.id: row["code"] for row in by_role.get("currency", [])}
        self._owners = {row.id: row["code"] for row in by_role.get("company", [])}
        self._codes = {row.id: list(_every_code(row)) for row in by_role.get("company", [])}
        self.has_renamed = any(len(codes) > 1 for codes in self._codes.values())
        """Whether a company had another code once."""
        self.companies: dict[str, Company] = dict(_companies(by_role))
        codes = {row.id: row["code"] for row in by_role.get("company-info", [])}
        self.ledgers: dict[str, tuple[str | None, str | None]] = {
            row.id: (codes.get(row["company"] or ""), row["currency"]) for row in by_role.get("ledger", [])
        }
        """The company and the accounting currency of each ledger by RecId; None while unknown."""
        self.period_types: dict[str, str | None] = {row.id: row["type"] for row in by_role.get("fiscal-period", [])}
        """The type of each fiscal period by RecId."""
        self.posting_setup: dict[str, tuple[str | None, str | None]] = {
            row.company: (row["expense_account"], row["procurement_account"])
            for row in by_role.get("posting-setup", [])
            if row.company is not None
        }
        """The main accounts of expenses and of vendor invoices that the posting set-up names, by company."""

    def currency(self, guid: str | None) -> str | None:
        """Return the ISO code of a `transactioncurrency` row (id in time order); None while it is unknown."""
        return self._currencies.get(guid) if guid else None

    def owner(self, guid: str) -> str | None:
        """Return the code of a `cdm_company` row (id in time order); None while it is unknown."""
        return self._owners.get(guid)

    def codes(self, guid: str) -> list[str]:
        """Return the current code of a `cdm_company` row (id in time order), then its former ones."""
        return self._codes.get(guid, [])

    def company(self, code: str | None) -> Company | None:
        """Return the company with a code (upper case); None until Finance has sent it."""
        return self.companies.get(code) if code else None

    def decides_like(self, other: "Directory") -> bool:
        """Return True if both lead to the same decisions. Names and the status of periods have no influence."""
        return self._deciding() == other._deciding()

    def places_entries_like(self, other: "Directory") -> bool:
        """Return True if both give each entry of the ledger the same account, company, currency and type of period."""
        return self._placing() == other._placing()

    def _placing(self) -> tuple[object, ...]:
        currencies = {code: company.currency for code, company in self.companies.items()}
        return (self.ledgers, self.period_types, self.posting_setup, currencies)

    def _deciding(self) -> tuple[object, ...]:
        companies = {
            code: (company.currency, company.time_zone, [(period.start, period.end) for period in company.periods])
            for code, company in self.companies.items()
        }
        return (self._currencies, self._codes, companies)


def _every_code(company: Row) -> Iterable[str]:
    """Yield the code of a company row, then its former ones, newest first."""
    if company["code"] is not None:
        yield company["code"]
    for field, column, _ in company.map.readers:
        if field == "code":
            yield from (item.value for item in company.record.former.get(column, ()))


def _companies(by_role: dict[str, list[Row]]) -> Iterable[tuple[str, Company]]:
    status = {(row["ledger"], row["period"]): row["status"] for row in by_role.get("ledger-period", [])}
    ledgers: dict[str, Row] = {}
    for row in by_role.get("ledger", []):
        ledgers.setdefault(row["company"], row)
    yielded: set[str] = set()
    for info in by_role.get("company-info", []):
        code = info["code"]
        if code is None or code in yielded:
            continue
        yielded.add(code)
        ledger = ledgers.get(info.id)
        periods = tuple(_periods(by_role, ledger, status)) if ledger is not None else ()
        yield code, Company(code, info["name"], ledger["currency"] if ledger else None, info["time_zone"], periods)


def _periods(
    by_role: dict[str, list[Row]], ledger: Row, status: dict[tuple[str | None, str], str | None]
) -> list[Period]:
    calendar = ledger["calendar"]
    years = {row.id: row for row in by_role.get("fiscal-year", []) if calendar and row["calendar"] == calendar}
    by_year: dict[str, list[Row]] = {}
    for row in by_role.get("fiscal-period", []):
        if row["year"] in years and row["start"] and row["end"]:
            by_year.setdefault(row["year"], []).append(row)
    periods = []
    for year, rows in by_year.items():
        # A year without own dates spans its periods.
        start = years[year]["start"] or min(row["start"] for row in rows)
        end = years[year]["end"] or max(row["end"] for row in rows)
        for row in rows:
            if row["type"] == "operating":
                state = status.get((ledger.id, row.id)) or "closed"
                periods.append(Period(row["start"], row["end"], start, end, cast(PeriodStatus, state)))
    return sorted(periods)


class ReferenceData(Protocol):
    """Port: the reference data that a decision reads besides the rows of its chain."""

    @property
    def directory(self) -> Directory:
        """Companies, currencies and ledger calendars."""

    def row(self, key: str) -> Row | None:
        """Return the row with a record key; None if it was never received or is deleted."""

    def offered(self, token: str) -> list[Row]:
        """Return the rows that offer `+link:…`, by key."""


def resolve_reference(reference_data: ReferenceData, row: Row, name: str) -> Row | None:
    """Return the row that the reference `name` of `row` points to; None if there is none, or more than one."""
    rows = referenced_rows(reference_data, row, name)
    return rows[0] if len(rows) == 1 else None


def referenced_rows(reference_data: ReferenceData, row: Row, name: str) -> list[Row]:
    """Return the rows that the reference `name` of `row` points to, by key; more than one only for a natural key."""
    reference = row.map.by_name.get(name)
    if reference is None or (token := target(row, reference)) is None:
        return []
    if reference.natural:
        return reference_data.offered(offer_of(token))
    found = reference_data.row(token)
    return [] if found is None else [found]
