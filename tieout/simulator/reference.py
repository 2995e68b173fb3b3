"""Reference data of both systems: companies, currencies, calendar, projects, categories, vendors."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random

from tieout.simulator.event_recorder import EventRecorder
from tieout.simulator.scenario import Columns

OPEN, CLOSED = 1, 2
OPENING, OPERATING, CLOSING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class SimulatedCompany:
    """A legal entity with its ledger."""

    code: str
    name: str
    currency: str
    time_zone: str
    first_open: date


@dataclass(frozen=True, slots=True)
class Project:
    """A project that exists in both systems."""

    number: str
    name: str
    company: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor account."""

    account: str
    name: str
    company: str = ""
    """Company of the vendor; empty for the first one."""


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """Reference data of a company's documents."""

    companies: tuple[SimulatedCompany, ...]
    currencies: tuple[str, ...]
    projects: tuple[Project, ...]
    categories: tuple[str, ...]
    vendors: tuple[Vendor, ...]
    fiscal_years: tuple[int, ...]


class ReferenceIds:
    """Dataverse ids of the reference rows, returned as lookups."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], str] = {}

    def add(self, entity: str, code: str, row: str) -> None:
        """Register the id of a row."""
        self._ids[entity, code] = row

    def lookup(self, entity: str, code: str, named: bool = False) -> Columns:
        """Return a lookup of a row; the name is omitted unless `named`, as the systems mostly do."""
        return {"entity": entity, "id": self._ids[entity, code], "name": code if named else None}

    def codes(self, entity: str) -> list[str]:
        """Return the codes of all rows of an entity."""
        return [code for other, code in self._ids if other == entity]

    def expense_category(self, code: str) -> Columns:
        """Return a lookup of an expense category, which shares its id with the transaction category."""
        return {**self.lookup("msdyn_transactioncategory", code), "entity": "msdyn_expensecategory"}


def load_reference_data(recorder: EventRecorder, masters: ReferenceData, at: datetime) -> ReferenceIds:
    """Record all reference rows of both systems, one second apart, and return their ids."""
    _finance_masters(recorder, masters, at)
    return _dataverse_masters(recorder, masters, at)


def _dataverse_masters(recorder: EventRecorder, masters: ReferenceData, at: datetime) -> ReferenceIds:
    reference_ids = ReferenceIds()

    def create(entity: str, code: str, columns: Columns) -> None:
        nonlocal at
        at += timedelta(seconds=1)
        row = recorder.guid(at)
        reference_ids.add(entity, code, row)
        recorder.dataverse_created(entity, row, at, columns)

    for currency in masters.currencies:
        create("transactioncurrency", currency, {"isocurrencycode": currency})
    for company in masters.companies:
        create("cdm_company", company.code, {"cdm_companycode": company.code, "cdm_name": company.name})
    for category in masters.categories:
        columns: Columns = {"msdyn_transactioncategorynumber": category, "msdyn_name": category}
        create("msdyn_transactioncategory", category, columns)
    for project in masters.projects:
        columns = {"assumed_projectnumber": project.number, "msdyn_subject": project.name}
        columns["assumed_owningcompany"] = reference_ids.lookup("cdm_company", project.company, named=True)
        create("msdyn_project", project.number, columns)
    for vendor in masters.vendors:
        reference_ids.add("account", vendor.account, recorder.guid(at))
    # The ids of these events are drawn apart, so that they change no story of a seed.
    chance, recorder.chance = recorder.chance, Random("accounts")
    for vendor in masters.vendors:
        columns = {"accountnumber": vendor.account, "name": vendor.name}
        recorder.dataverse_created("account", reference_ids.lookup("account", vendor.account)["id"], at, columns)
    recorder.chance = chance
    return reference_ids


def _finance_masters(recorder: EventRecorder, masters: ReferenceData, at: datetime) -> None:
    calendar = recorder.record_id("FiscalCalendar")
    periods = list(_fiscal_calendar(recorder, masters.fiscal_years, calendar, at))
    for company in masters.companies:
        _company(recorder, company, calendar, periods, at)
    for number, project in enumerate(masters.projects):
        columns: Columns = {"ProjId": project.number, "Name": project.name}
        moment = at + timedelta(seconds=60 + number)
        recorder.finance_changed("ProjTable", recorder.record_id("ProjTable"), moment, columns, project.company)
    for number, vendor in enumerate(masters.vendors):
        columns = {"AccountNum": vendor.account, "Name": vendor.name}
        moment = at + timedelta(seconds=90 + number)
        owner = vendor.company or masters.companies[0].code
        recorder.finance_changed("VendTable", recorder.record_id("VendTable"), moment, columns, owner)


def _company(
    recorder: EventRecorder,
    company: SimulatedCompany,
    calendar: int,
    periods: list[tuple[int, date, int]],
    at: datetime,
) -> None:
    entity, ledger = recorder.record_id("CompanyInfo"), recorder.record_id("Ledger")
    columns: Columns = {"DataArea": company.code, "Name": company.name, "assumed_timezone": company.time_zone}
    recorder.finance_changed("CompanyInfo", entity, at, columns, company.code)
    columns = {"PrimaryForLegalEntity": entity, "AccountingCurrency": company.currency, "FiscalCalendar": calendar}
    recorder.finance_changed("Ledger", ledger, at, columns)
    columns = {"assumed_expenseintegrationaccount": "605180", "assumed_procurementintegrationaccount": "605190"}
    columns["assumed_autosetaccountingdate"] = 0
    recorder.finance_changed("ProjParameters", recorder.record_id("ProjParameters"), at, columns, company.code)
    for period, start, period_type in periods:
        is_open = start >= company.first_open or period_type != OPERATING
        columns = {"Ledger": ledger, "FiscalCalendarPeriod": period, "Status": OPEN if is_open else CLOSED}
        table = "LedgerFiscalCalendarPeriod"
        recorder.finance_changed(table, recorder.record_id(table), at + timedelta(seconds=30), columns)


def _fiscal_calendar(
    recorder: EventRecorder, years: Iterable[int], calendar: int, at: datetime
) -> Iterable[tuple[int, date, int]]:
    for year in years:
        first, last = date(year, 1, 1), date(year, 12, 31)
        record = recorder.record_id("FiscalCalendarYear")
        columns: Columns = {"FiscalCalendar": calendar, "StartDate": first.isoformat(), "EndDate": last.isoformat()}
        recorder.finance_changed("FiscalCalendarYear", record, at, columns)
        months = [(date(year, m, 1), date(year, m, monthrange(year, m)[1]), OPERATING) for m in range(1, 13)]
        for start, end, period_type in [(first, first, OPENING), *months, (last, last, CLOSING)]:
            period = recorder.record_id("FiscalCalendarPeriod")
            columns = {"FiscalCalendarYear": record, "StartDate": start.isoformat(), "EndDate": end.isoformat()}
            columns |= {"Type": period_type, "Name": f"Period {start.month}"}
            recorder.finance_changed("FiscalCalendarPeriod", period, at + timedelta(seconds=10), columns)
            yield period, start, period_type


def rate_text(rate: Decimal) -> str:
    """Format a Finance exchange rate (times 100) with the twelve decimals of the grid."""
    return f"{rate:.12f}"


def dataverse_rate_text(rate: Decimal) -> str:
    """Format the Dataverse rate of a Finance rate: units of the transaction currency for one base unit."""
    return f"{100 / rate:.10f}"
