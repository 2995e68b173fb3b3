"""The rows that documents point to but do not own: companies, currencies, the ledger calendar, headers, projects.

The few that are asked for at every turn stand in a `Directory` in memory; the others are looked up in a `World`.
"""

from collections.abc import Iterable
from typing import Protocol, cast

from engine.calendar import Company, Period, PeriodStatus
from engine.chains.links import offer_of, target
from engine.chains.records import Row


class Directory:
    """The resident rows, by what they are asked for. Made anew when one of them changes."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        by_role: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row.key):
            by_role.setdefault(row.role, []).append(row)
        self._currencies = {row.id: row["code"] for row in by_role.get("currency", [])}
        self._owners = {row.id: row["code"] for row in by_role.get("company", [])}
        self.companies: dict[str, Company] = dict(_companies(by_role))

    def currency(self, guid: str | None) -> str | None:
        """The ISO code of a `transactioncurrency` row (its id in time order); None while it is not known."""
        return self._currencies.get(guid) if guid else None

    def owner(self, guid: str) -> str | None:
        """The code of a `cdm_company` row (its id in time order); None while it is not known."""
        return self._owners.get(guid)

    def company(self, code: str | None) -> Company | None:
        """The company of a code (upper case); None while Finance has not told of it."""
        return self.companies.get(code) if code else None

    def decides_like(self, other: "Directory") -> bool:
        """Whether chains are decided alike under both: names, time zones and the state of periods decide nothing."""
        return self._deciding() == other._deciding()

    def _deciding(self) -> tuple[object, ...]:
        companies = {
            code: (company.currency, [(period.start, period.end) for period in company.periods])
            for code, company in self.companies.items()
        }
        return (self._currencies, self._owners, companies)


def _companies(by_role: dict[str, list[Row]]) -> Iterable[tuple[str, Company]]:
    status = {(row["ledger"], row["period"]): row["status"] for row in by_role.get("ledger-period", [])}
    ledgers: dict[str, Row] = {}
    for row in by_role.get("ledger", []):
        ledgers.setdefault(row["company"], row)
    known: set[str] = set()
    for info in by_role.get("company-info", []):
        code = info["code"]
        if code is None or code in known:
            continue
        known.add(code)
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
        # As the year says itself; one that does not say it spans its periods.
        start = years[year]["start"] or min(row["start"] for row in rows)
        end = years[year]["end"] or max(row["end"] for row in rows)
        for row in rows:
            if row["type"] == "operating":
                state = status.get((ledger.id, row.id)) or "closed"
                periods.append(Period(row["start"], row["end"], start, end, cast(PeriodStatus, state)))
    return sorted(periods)


class ReferenceData(Protocol):
    """What a decision may ask beyond the rows of its chain."""

    @property
    def directory(self) -> Directory:
        """Companies, currencies, calendars."""

    def row(self, key: str) -> Row | None:
        """The existing row of a record key; None while it was not seen or is deleted."""

    def offered(self, token: str) -> list[Row]:
        """The rows that offer `+link:…`, by key."""


def resolve_reference(world: ReferenceData, row: Row, name: str) -> Row | None:
    """The one row that the reference `name` of `row` points to; None when there is none or more than one (no key)."""
    reference = row.map.by_name.get(name)
    if reference is None or (token := target(row, reference)) is None:
        return None
    if not reference.natural:
        return world.row(token)
    found = world.offered(offer_of(token))
    return found[0] if len(found) == 1 else None
