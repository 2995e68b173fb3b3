"""Reference data of both systems: companies, currencies, calendar, projects, categories, vendors."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from tieout.simulator.event_recorder import World
from tieout.simulator.scenario import Columns

OPEN, CLOSED = 1, 2
OPENING, OPERATING, CLOSING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Company:
    """A legal entity with its ledger."""

    code: str
    name: str
    currency: str
    time_zone: str
    first_open: date


@dataclass(frozen=True, slots=True)
class Project:
    """A project that both systems know."""

    number: str
    name: str
    company: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor account."""

    account: str
    name: str
    company: str = ""
    """The company whose vendor it is; empty for the first one."""


@dataclass(frozen=True, slots=True)
class Masters:
    """What a company's documents refer to."""

    companies: tuple[Company, ...]
    currencies: tuple[str, ...]
    projects: tuple[Project, ...]
    categories: tuple[str, ...]
    vendors: tuple[Vendor, ...]
    fiscal_years: tuple[int, ...]


class Directory:
    """The Dataverse ids of the reference rows, handed out as lookups."""

    def __init__(self) -> None:
        """Start without any row."""
        self._ids: dict[tuple[str, str], str] = {}

    def add(self, entity: str, code: str, row: str) -> None:
        """Remember the id of a row."""
        self._ids[entity, code] = row

    def lookup(self, entity: str, code: str, named: bool = False) -> Columns:
        """A lookup of a row; the name is left out as the systems mostly do."""
        return {"entity": entity, "id": self._ids[entity, code], "name": code if named else None}

    def codes(self, entity: str) -> list[str]:
        """The codes of all rows of an entity."""
        return [code for found, code in self._ids if found == entity]

    def expense_category(self, code: str) -> Columns:
        """A lookup of an expense category, which shares its id with the transaction category."""
        return {**self.lookup("msdyn_transactioncategory", code), "entity": "msdyn_expensecategory"}


def load_masters(world: World, masters: Masters, at: datetime) -> Directory:
    """Write all reference rows of both systems, one second apart, and return the ids to refer to."""
    _finance_masters(world, masters, at)
    return _dataverse_masters(world, masters, at)


def _dataverse_masters(world: World, masters: Masters, at: datetime) -> Directory:
    directory = Directory()

    def create(entity: str, code: str, columns: Columns) -> None:
        nonlocal at
        at += timedelta(seconds=1)
        row = world.guid(at)
        directory.add(entity, code, row)
        world.created(entity, row, at, columns)

    for currency in masters.currencies:
        create("transactioncurrency", currency, {"isocurrencycode": currency})
    for company in masters.companies:
        create("cdm_company", company.code, {"cdm_companycode": company.code, "cdm_name": company.name})
    for category in masters.categories:
        columns: Columns = {"msdyn_transactioncategorynumber": category, "msdyn_name": category}
        create("msdyn_transactioncategory", category, columns)
    for project in masters.projects:
        columns = {"assumed_projectnumber": project.number, "msdyn_subject": project.name}
        columns["assumed_owningcompany"] = directory.lookup("cdm_company", project.company, named=True)
        create("msdyn_project", project.number, columns)
    for vendor in masters.vendors:
        directory.add("account", vendor.account, world.guid(at))
    return directory


def _finance_masters(world: World, masters: Masters, at: datetime) -> None:
    calendar = world.record_id("FiscalCalendar")
    periods = list(_fiscal_calendar(world, masters.fiscal_years, calendar, at))
    for company in masters.companies:
        _company(world, company, calendar, periods, at)
    for number, project in enumerate(masters.projects):
        columns: Columns = {"ProjId": project.number, "Name": project.name}
        moment = at + timedelta(seconds=60 + number)
        world.finance("ProjTable", world.record_id("ProjTable"), moment, columns, project.company)
    for number, vendor in enumerate(masters.vendors):
        columns = {"AccountNum": vendor.account, "Name": vendor.name}
        moment = at + timedelta(seconds=90 + number)
        owner = vendor.company or masters.companies[0].code
        world.finance("VendTable", world.record_id("VendTable"), moment, columns, owner)


def _company(world: World, company: Company, calendar: int, periods: list[tuple[int, date, int]], at: datetime) -> None:
    entity, ledger = world.record_id("CompanyInfo"), world.record_id("Ledger")
    columns: Columns = {"DataArea": company.code, "Name": company.name, "assumed_timezone": company.time_zone}
    world.finance("CompanyInfo", entity, at, columns, company.code)
    columns = {"PrimaryForLegalEntity": entity, "AccountingCurrency": company.currency, "FiscalCalendar": calendar}
    world.finance("Ledger", ledger, at, columns)
    columns = {"assumed_expenseintegrationaccount": "605180", "assumed_procurementintegrationaccount": "605190"}
    columns["assumed_autosetaccountingdate"] = 0
    world.finance("ProjParameters", world.record_id("ProjParameters"), at, columns, company.code)
    for period, start, period_type in periods:
        is_open = start >= company.first_open or period_type != OPERATING
        columns = {"Ledger": ledger, "FiscalCalendarPeriod": period, "Status": OPEN if is_open else CLOSED}
        table = "LedgerFiscalCalendarPeriod"
        world.finance(table, world.record_id(table), at + timedelta(seconds=30), columns)


def _fiscal_calendar(
    world: World, years: Iterable[int], calendar: int, at: datetime
) -> Iterable[tuple[int, date, int]]:
    for year in years:
        first, last = date(year, 1, 1), date(year, 12, 31)
        record = world.record_id("FiscalCalendarYear")
        columns: Columns = {"FiscalCalendar": calendar, "StartDate": first.isoformat(), "EndDate": last.isoformat()}
        world.finance("FiscalCalendarYear", record, at, columns)
        months = [(date(year, m, 1), date(year, m, monthrange(year, m)[1]), OPERATING) for m in range(1, 13)]
        for start, end, period_type in [(first, first, OPENING), *months, (last, last, CLOSING)]:
            period = world.record_id("FiscalCalendarPeriod")
            columns = {"FiscalCalendarYear": record, "StartDate": start.isoformat(), "EndDate": end.isoformat()}
            columns |= {"Type": period_type, "Name": f"Period {start.month}"}
            world.finance("FiscalCalendarPeriod", period, at + timedelta(seconds=10), columns)
            yield period, start, period_type


def rate_text(rate: Decimal) -> str:
    """A Finance exchange rate (times 100) with the twelve decimals of the grid."""
    return f"{rate:.12f}"


def dataverse_rate_text(rate: Decimal) -> str:
    """The Dataverse exchange rate for a Finance rate: units of the transaction currency for one base unit."""
    return f"{100 / rate:.10f}"
