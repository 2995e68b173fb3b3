"""General journals, from the ledger of Finance to Dataverse: header, lines, confirmation (R60, R63).

Both systems are read before each step, so a call whose response was lost is not repeated. The ids of headers and lines
are derived from the keys of Finance, so concurrent or repeated writes create each row once (R45).

Sources: `docs/domain/documents.md` §3, `docs/domain/entities.md`.
"""

import re
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, TypeVar

import msgspec

from engine import money
from engine.events.facts import etag_record
from engine.sync.general_journals import (
    Amount,
    DataverseJournal,
    Journal,
    JournalLine,
    NextStep,
    decide_next_step,
    failure,
    line_key,
    matching_journal,
    read_line_key,
)
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.api.odata import any_of, literal
from handlers.errors import Configuration, Permanent, TargetError, Throttled, Transient
from handlers.processes import Processes

HEADERS: Final = "LedgerJournalTable"
LINES: Final = "LedgerJournalTrans"
PROJECT_PARTS: Final = "LedgerJournalTrans_Project"
JOURNAL: Final = "msdyn_journal"
JOURNAL_LINE: Final = "msdyn_journalline"
CONTRACT_LINE: Final = "salesorderdetail"

T = TypeVar("T")

_ENUM: Final = "Microsoft.Dynamics.DataEntities"
_OF_PROJECTS: Final = f"AccountType eq {_ENUM}.LedgerJournalACType'Project'"
_POSTED: Final = f"Posted eq {_ENUM}.NoYes'Yes'"
_AT_ONCE: Final = 40
"""Values in one filter: an address has about two thousand characters to spare."""

_IDS: Final = uuid.UUID("6d0b1f0e-4a0c-5c57-9d3e-3b9f7a2c8e11")
"""The namespace of the ids that tieout generates."""

# `docs/domain/entities.md`, "Option sets (numbers)". A project line of a ledger journal is an expense of its project.
_EXPENSE: Final = 192350001
_TYPES: Final[Mapping[Amount, int]] = {"cost": 192350000, "sales": 192350005}
_CHARGEABLE: Final = 192350001
_TIME_AND_MATERIAL: Final = 192350000
"""Of `msdyn_billingmethod` of a contract line; fixed price is 192350001 (Customer Engagement Web API reference)."""


class ColumnNames(msgspec.Struct, frozen=True):
    """The columns that identify rows, where an installation may have its own."""

    currency: str = "isocurrencycode"
    project: str = "assumed_projectnumber"
    category: str = "msdyn_transactioncategorynumber"
    contract_line: str = "assumed_contractline"
    """Of `LedgerJournalTrans_Project` in Finance."""
    contract_line_name: str = "assumed_contractlinenumber"
    """Of `salesorderdetail` in Dataverse."""


class PostedJournal(msgspec.Struct, frozen=True):
    """A posted journal with project lines; `at` is the time of posting in the format of Finance."""

    company: str
    number: str
    at: str


class ProjectLine(msgspec.Struct, frozen=True):
    """A project line in Finance: amounts in units of 1/10000, quantity and prices as decimal digits."""

    record: int
    voucher: str
    date: str
    project_date: str
    currency: str
    cost: int
    quantity: str
    cost_price: str
    sales_price: str
    sales_currency: str
    project: str
    category: str
    contract_line: str


class JournalPair(msgspec.Struct, frozen=True):
    """A journal in both systems. `contract_lines` are the ids of its contract lines in Dataverse, by name."""

    journal: Journal
    twin: DataverseJournal | None = None
    lines: Mapping[int, ProjectLine] = {}
    contract_lines: Mapping[str, str] = {}

    @property
    def unbillable(self) -> ProjectLine | None:
        """A line whose contract line is missing in Dataverse, so that its billing method is unknown."""
        named = (line for line in self.lines.values() if line.contract_line)
        return next((line for line in named if line.contract_line not in self.contract_lines), None)


class ReferenceMissing(Configuration):
    """A row that a line references is missing in Dataverse; `record` is the RecId of the line."""

    code = "reference-missing"

    record: int | None = None


def _reference_missing(line: ProjectLine, what: str, name: str) -> Configuration:
    """Return the error of a missing reference. For a category Finance has no message of its own: it creates the line,
    and Dataverse refuses it.
    """
    text = f"The {what} {name!r} of the line is not in Dataverse: create or synchronise it."
    if what == "category":
        return Configuration(text)
    error = ReferenceMissing(text)
    error.record = line.record
    return error


class GeneralJournals:
    """The general journals of one pair of systems. Every method raises `TargetError`."""

    def __init__(
        self, finance: Finance, dataverse: Dataverse, processes: Processes, names: ColumnNames | None = None
    ) -> None:
        self._finance = finance
        self._dataverse = dataverse
        self._processes = processes
        self._names = names or ColumnNames()

    # --- reading ------------------------------------------------------------------------------------------------------

    def posted(self, companies: Sequence[str], known: Collection[tuple[str, str]] = ()) -> list[PostedJournal]:
        """Return the posted journals with project lines, of these companies or of all, except those in `known`, by
        company and number.
        """
        numbers: dict[str, set[str]] = {}
        for row in self._of_finance(LINES, _OF_PROJECTS, companies, select=("JournalNum",)):
            company, number = _company(row), _text(row, "JournalNum")
            if number and (company, number) not in known:
                numbers.setdefault(company, set()).add(number)
        return [
            PostedJournal(company, _text(row, "JournalNum"), _text(row, "PostedDateTime"))
            for company in sorted(numbers)
            for some in _some(sorted(numbers[company]))
            for row in self._of_finance(
                HEADERS,
                f"({any_of('JournalNum', some)}) and {_POSTED}",
                [company],
                select=("JournalNum", "PostedDateTime"),
            )
        ]

    def confirmed(self, journals: Iterable[PostedJournal]) -> list[PostedJournal]:
        """Return the journals that Dataverse has confirmed. A number that several companies use is not sufficient: the
        lines of such a journal are compared.
        """
        journals = list(journals)
        used = Counter(journal.number for journal in journals)
        numbers: set[str] = set()
        for some in _some(sorted(used)):
            where = f"({any_of('msdyn_description', some)}) and msdyn_isposted eq true"
            rows = self._of_dataverse(JOURNAL, where, select=("msdyn_description",))
            numbers.update(_text(row, "msdyn_description").upper() for row in rows)
        return [
            journal
            for journal in journals
            if journal.number.upper() in numbers
            and (used[journal.number] == 1 or self._closed(journal.company, journal.number))
        ]

    def _closed(self, company: str, number: str) -> bool:
        pair = self.read_pair(company, number)
        return decide_next_step(pair.journal, pair.twin, 0).step == "closed"

    def read_pair(self, company: str, number: str) -> JournalPair:
        """Read a journal in both systems. A journal that is missing in Finance, or not posted, has no lines."""
        headers = {_company(row): row for row in self._of_finance(HEADERS, f"JournalNum eq {literal(number)}")}
        header = headers.get(company, {})
        record = int(_record(header) or 0)
        if _text(header, "Posted") not in ("Yes", "1", "True"):
            return JournalPair(Journal(number, record, False, ()))
        lines = {line.record: line for line in self._lines(company, number)}
        contract_lines, by_time = self._contract_lines({line.contract_line for line in lines.values()} - {""})
        journal = Journal(
            number,
            record,
            True,
            tuple(JournalLine(line.record, line.contract_line in by_time) for line in lines.values()),
            shared=len(headers) > 1,
        )
        return JournalPair(journal, self._twin(company, journal), lines, contract_lines)

    def _lines(self, company: str, number: str) -> Iterator[ProjectLine]:
        where = f"JournalNum eq {literal(number)} and {_OF_PROJECTS}"
        rows = {_record(row): row for row in self._of_finance(LINES, where, [company])}
        parts = {
            _text(row, "RefRecId"): row
            for some in _some(sorted(int(record) for record in rows))
            for row in self._of_finance(PROJECT_PARTS, any_of("RefRecId", some), [company])
        }
        for record, row in rows.items():
            if record not in parts:
                raise Permanent(f"Finance returns no LedgerJournalTrans_Project of line {record}. Check its entity.")
            yield self._line(int(record), row, parts[record])

    def _line(self, record: int, row: Mapping[str, Any], part: Mapping[str, Any]) -> ProjectLine:
        debit, credit = (money.units(_text(row, name) or "0") for name in ("AmountCurDebit", "AmountCurCredit"))
        if debit is None or credit is None:
            raise Permanent(
                f"The amount of journal line {record} in Finance cannot be stored exactly. Check it in Finance."
            )
        date = _text(row, "TransDate")[:10]
        return ProjectLine(
            record=record,
            voucher=_text(row, "Voucher"),
            date=date,
            project_date=_text(part, "ProjTransDate")[:10] or date,
            currency=_text(row, "CurrencyCode").upper(),
            cost=debit - credit,
            quantity=_number(part, "Qty"),
            cost_price=_number(part, "CostPrice"),
            sales_price=_number(part, "SalesPrice"),
            sales_currency=(_text(part, "SalesCurrencyId") or _text(row, "CurrencyCode")).upper(),
            project=_text(part, "ProjId"),
            category=_text(part, "CategoryId"),
            contract_line=_text(part, self._names.contract_line),
        )

    def _contract_lines(self, names: Collection[str]) -> tuple[dict[str, str], set[str]]:
        """Return the ids of contract lines in Dataverse by name, and the names of those billed by time and material."""
        column = self._names.contract_line_name
        rows = [
            row
            for some in _some(sorted(names))
            for row in self._of_dataverse(CONTRACT_LINE, any_of(column, some), select=(column, "msdyn_billingmethod"))
        ]
        by_time = {_text(row, column) for row in rows if _text(row, "msdyn_billingmethod") == str(_TIME_AND_MATERIAL)}
        return {_text(row, column): _text(row, "salesorderdetailid") for row in rows}, by_time

    def _twin(self, company: str, journal: Journal) -> DataverseJournal | None:
        return matching_journal(journal, self._twins(company, journal.number))

    def _twins(self, company: str, number: str) -> Iterator[DataverseJournal]:
        where = f"msdyn_description eq {literal(number)}"
        for row in self._of_dataverse(JOURNAL, where, select=("msdyn_description", "msdyn_isposted")):
            twin = _text(row, "msdyn_journalid").lower()
            lines = self._of_dataverse(
                JOURNAL_LINE, f"_msdyn_journal_value eq {twin}", select=("msdyn_externaldescription",)
            )
            keys = [read_line_key(line.get("msdyn_externaldescription")) for line in lines]
            yield DataverseJournal(
                twin,
                frozenset(key for key in keys if key is not None),
                confirmed=row.get("msdyn_isposted") is True,
                foreign=keys.count(None),
                ours=twin == _id_of(company, number),
            )

    # --- writing ------------------------------------------------------------------------------------------------------

    def sync(self, company: str, number: str, attempts: int, renew: Callable[[], None] = lambda: None) -> None:
        """Make one attempt to bring a journal to Dataverse, after `attempts` failures in this attempt cycle. `renew` is
        called before each write.

        The message of an error has the text of the error log on its first line and the cause on the following lines.
        """
        pair, next_step = JournalPair(Journal(number, 0, False, ())), NextStep("header")
        last: NextStep | None = None
        try:
            pair = self.read_pair(company, number)
            while not (next_step := decide_next_step(pair.journal, pair.twin, attempts)).over:
                if next_step == last:
                    raise Transient("Dataverse does not return the rows that were just written. Try again later.")
                self._execute(company, pair, next_step, renew)
                last = next_step
                # A posted journal does not change in Finance, so only Dataverse is read again.
                pair = msgspec.structs.replace(pair, twin=self._twin(company, pair.journal))
        except Throttled:
            raise
        except TargetError as error:
            record = error.record if isinstance(error, ReferenceMissing) else None
            message = failure(pair.journal, next_step.step, attempts + 1, record)
            raise type(error)(
                f"{message}\n{error}",
                status=error.status,
                system_code=error.system_code,
                outcome_unknown=error.outcome_unknown,
            ) from error

    def _execute(self, company: str, pair: JournalPair, next_step: NextStep, renew: Callable[[], None]) -> None:
        """Execute one step. Raises `TargetError`."""
        journal, twin = pair.journal, pair.twin
        if next_step.step == "header":
            renew()
            # The number of the journal type that creates actuals is not public, so the default, entry, is kept.
            columns = {"msdyn_description": journal.number}
            self._dataverse.upsert(self._set(JOURNAL), _id_of(company, journal.number), columns, only="create")
        elif next_step.step == "too-many-lines":
            raise Permanent(f"It has {len(journal.lines)}: divide it into several journals.")
        elif next_step.step == "foreign-lines":
            raise Permanent(
                "Dataverse has lines of this journal that tieout did not write. Confirm it there, or delete them, then "
                "sync it again."
            )
        elif line := pair.unbillable:
            raise _reference_missing(line, "contract line", line.contract_line)
        elif twin is not None and next_step.step == "lines":
            references = _References(self._dataverse)
            for record, amount in next_step.amounts:
                columns = self._columns(pair.lines[record], amount, pair, references)
                renew()
                bound = {"msdyn_journal@odata.bind": f"/{self._set(JOURNAL)}({twin.id})", **columns}
                self._dataverse.upsert(self._set(JOURNAL_LINE), _id_of(line_key(record, amount)), bound, only="create")
        elif twin is not None:
            renew()
            self._processes.start("journal", {}, on=f"{self._set(JOURNAL)}({twin.id})")

    def _columns(
        self, line: ProjectLine, amount: Amount, pair: JournalPair, references: "_References"
    ) -> dict[str, Any]:
        """Return the columns of a line in Dataverse."""
        names = self._names
        currency = line.currency if amount == "cost" else line.sales_currency
        price = line.cost_price if amount == "cost" else line.sales_price
        value = line.cost
        if amount == "sales":
            value = money.rounded(Fraction(line.quantity) * Fraction(price) * money.UNITS, currency)
        columns: dict[str, Any] = {
            "msdyn_externaldescription": line_key(line.record, amount),
            "msdyn_description": f"{pair.journal.number} {line.voucher}".strip()[:100],
            "msdyn_transactionclassification": _EXPENSE,
            "msdyn_transactiontypecode": _TYPES[amount],
            "msdyn_accountingdate": line.date,
            "msdyn_documentdate": line.project_date,
            # Numbers with their exact digits, which a binary float would not preserve.
            "msdyn_quantity": msgspec.Raw(line.quantity.encode()),
            "msdyn_price": msgspec.Raw(price.encode()),
            "msdyn_amount": msgspec.Raw(money.text(value, currency).encode()),
            **references.bound("transactioncurrencyid", names.currency, currency, line),
            **references.bound("msdyn_project", names.project, line.project, line),
        }
        if line.category:
            columns |= references.bound("msdyn_transactioncategory", names.category, line.category, line)
        if line.contract_line:
            columns["msdyn_salescontractline@odata.bind"] = (
                f"/{self._set(CONTRACT_LINE)}({pair.contract_lines[line.contract_line]})"
            )
            if any(one.record == line.record and one.time_and_material for one in pair.journal.lines):
                columns["msdyn_billingtype"] = _CHARGEABLE
        return columns

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _set(self, table: str) -> str:
        return self._dataverse.entity_set(table)

    def _of_finance(
        self, table: str, where: str, companies: Sequence[str] = (), *, select: Sequence[str] = ()
    ) -> Iterator[dict[str, Any]]:
        rows = self._finance.entity_set(table)
        for page in self._finance.pages(rows, companies=companies, select=select, where=where):
            yield from page.rows

    def _of_dataverse(self, table: str, where: str, *, select: Sequence[str]) -> Iterator[dict[str, Any]]:
        for page in self._dataverse.pages(self._set(table), select=select, where=where):
            yield from page.rows


class _References:
    """The rows that lines reference, each looked up once."""

    def __init__(self, dataverse: Dataverse) -> None:
        self._dataverse = dataverse
        self._ids: dict[tuple[str, str], str | None] = {}

    def bound(self, lookup: str, column: str, code: str, line: ProjectLine) -> dict[str, str]:
        """Return the lookup of the row with a code. Raises `ReferenceMissing` if Dataverse has no such row."""
        entity, what = _LOOKUPS[lookup]
        rows = self._dataverse.entity_set(entity)
        if (lookup, code) not in self._ids:
            pages = self._dataverse.pages(rows, select=(column,), where=f"{column} eq {literal(code)}")
            self._ids[lookup, code] = next((_text(row, f"{entity}id") for page in pages for row in page.rows), None)
        if (row_id := self._ids[lookup, code]) is None:
            raise _reference_missing(line, what, code)
        return {f"{lookup}@odata.bind": f"/{rows}({row_id})"}


_LOOKUPS: Final[Mapping[str, tuple[str, str]]] = {
    "transactioncurrencyid": ("transactioncurrency", "currency"),
    "msdyn_project": ("msdyn_project", "project"),
    "msdyn_transactioncategory": ("msdyn_transactioncategory", "category"),
}
"""The entity that a lookup of a line references, and its label in messages."""


def _id_of(*names: str) -> str:
    """Return the deterministic id of the row in Dataverse for an object of Finance."""
    return str(uuid.uuid5(_IDS, "/".join(names)))


def _record(row: Mapping[str, Any]) -> str:
    """Return the RecId of a row of Finance, empty if it has none. Raises `Permanent` if it is not a number."""
    record = _text(row, "RecId") or etag_record(row.get("@odata.etag")) or ""
    if not re.fullmatch(r"\d{0,19}", record, re.ASCII):
        raise Permanent(
            f"Finance returns a RecId that is not a number ({record[:40]!r}). Check the address of Finance."
        )
    return record


def _company(row: Mapping[str, Any]) -> str:
    return _text(row, "dataAreaId").upper()


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _number(row: Mapping[str, Any], column: str) -> str:
    """Return a quantity or price in plain decimal digits."""
    return money.plain_decimal(_text(row, column)) or "0"


def _some(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
