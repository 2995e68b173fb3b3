"""A load of any size whose result is known beforehand: expenses with exactly eight events each.

Ninety of a hundred documents are reconciled, five miss their actual (not approved) and five their journal line
(not imported). The events of a document are spread over the some 2,000 events that follow its first one; a few
documents have theirs out of order. Everything follows from the number of documents: the same number, the same bytes.
"""

import json
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

FINANCE, DATAVERSE = "finance.changes", "dataverse.changes"
COMPANY = "USPM"
TODAY = date(2025, 1, 8)
FIRST_DAY = date(2024, 3, 1)

EVENTS_PER_DOCUMENT = 8
LINES_PER_JOURNAL = 200
SPREAD = 250
"""Over how many following documents the events of one document are spread: 2,000 events."""

_BASE = 5637144576
_DAYS = (TODAY - FIRST_DAY).days + 1
_PROJECTS = 500
_CATEGORIES = ("Flight-Expense", "Hotel-Expense", "Meals-Expense", "Car-Expense", "Taxi-Expense")
_RATES = {"USD": 100, "EUR": 110, "GBP": 125}
_CYCLE = 4500
"""After so many documents amounts, currencies and outcomes repeat."""

_MISSING_ACTUAL, _MISSING_JOURNAL_LINE, _OUTCOMES = 3, 13, 20
_GUID_TAIL = b"-2cd4-ef11-a730-0022480431d9"
_REFERENCE_TAIL = "-5d3b-ee11-8ef3-000d3a1b2c3d"
_REFERENCE_TIME = "2024-01-02T08:00:00Z"
_UNTIL = "2025-01-08T23:59:59Z"

Message = tuple[str, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Part:
    """An amount in the company's currency, and its number of documents."""

    amount: Decimal
    documents: int


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected result of a run over the whole load."""

    events: int
    documents: int
    expense_missing_actuals: Part
    expense_missing_journal_lines: Part
    reconciled: Part


class Workload:
    """The load of a number of documents: its events and its expected totals."""

    def __init__(self, documents: int) -> None:
        """Nothing is generated before it is requested."""
        self.documents = documents

    def __iter__(self) -> Iterator[Message]:
        """Topic (without prefix), key and value of each event: references, documents, heartbeats."""
        yield from references()
        yield from self.document_events()
        yield from heartbeats()

    def document_events(self) -> Iterator[Message]:
        """The events of the documents, interleaved, with the journal headers in between."""
        ring: list[list[Message]] = [[] for _ in range(SPREAD + 1)]
        lines = 0
        for number in range(self.documents):
            outcome = number % _OUTCOMES
            if outcome not in (_MISSING_ACTUAL, _MISSING_JOURNAL_LINE):
                if lines % LINES_PER_JOURNAL == 0:
                    yield _journal(lines // LINES_PER_JOURNAL)
                lines += 1
            events = _document(number, number * _DAYS // self.documents, max(lines - 1, 0) // LINES_PER_JOURNAL)
            for event, lag in zip(events, _LAGS[number & 63], strict=True):
                ring[(number + lag) % (SPREAD + 1)].append(event)
            due = ring[number % (SPREAD + 1)]
            yield from due
            due.clear()
        for number in range(self.documents, self.documents + SPREAD + 1):
            yield from ring[number % (SPREAD + 1)]

    def expected(self) -> Expected:
        """The totals, by counting whole cycles and the rest."""
        cycles, rest = divmod(self.documents, _CYCLE)
        parts = []
        for outcomes in _OUTCOME_SETS:
            whole, some = _sum(_CYCLE, outcomes), _sum(rest, outcomes)
            cents, documents = (cycles * one + other for one, other in zip(whole, some, strict=True))
            parts.append(Part(Decimal(cents).scaleb(-2), documents))
        missing_actuals, missing_journal_lines, reconciled = parts
        journals = -(-reconciled.documents // LINES_PER_JOURNAL)
        events = EVENTS_PER_DOCUMENT * self.documents + journals + sum(1 for _ in references()) + 2
        return Expected(events, self.documents, missing_actuals, missing_journal_lines, reconciled)


def references() -> Iterator[Message]:
    """Company, ledger, calendar, currencies, categories and projects, in both systems."""
    yield _reference("CompanyInfo", _BASE, {"DataArea": COMPANY, "Name": "Benchmark", "assumed_timezone": "UTC"})
    ledger = {"PrimaryForLegalEntity": _BASE, "AccountingCurrency": "USD", "FiscalCalendar": _BASE}
    yield _reference("Ledger", _BASE, ledger)
    yield from _calendar()
    yield _reference("cdm_company", f"{COMPANY.encode().hex()}{_REFERENCE_TAIL}", {"cdm_companycode": COMPANY})
    for currency in _RATES:
        yield _reference("transactioncurrency", _CURRENCY_IDS[currency], {"isocurrencycode": currency})
    for place, category in enumerate(_CATEGORIES):
        columns = {"msdyn_transactioncategorynumber": category}
        yield _reference("msdyn_transactioncategory", f"ca7e{place:04x}{_REFERENCE_TAIL}", columns)
    for place in range(_PROJECTS):
        number, name = f"P-{place:06d}-D", f"Project {place}"
        yield _reference("ProjTable", _BASE + place, {"ProjId": number, "Name": name})
        yield _reference("msdyn_project", _PROJECT_IDS[place], {"assumed_projectnumber": number, "msdyn_subject": name})


def heartbeats() -> Iterator[Message]:
    """Return the heartbeats of both systems."""
    for topic, source in ((FINANCE, "/finance/bench"), (DATAVERSE, "/dataverse/bench")):
        value = _envelope(f"complete{source}", source, "tieout.source.complete", _UNTIL, {"until": _UNTIL})
        yield topic, source.encode(), value


def outcome_of(number: int) -> str:
    """The position that a document of the load ends in."""
    return {_MISSING_ACTUAL: "missing-actual", _MISSING_JOURNAL_LINE: "missing-journal-line"}.get(
        number % _OUTCOMES, "reconciled"
    )


def _cents(number: int) -> int:
    return 1000 + 20 * (number * 7919 % _CYCLE)


def _currency(number: int) -> str:
    return {3: "GBP", 13: "EUR"}.get(number % 50, "USD")


def _accounting_cents(number: int) -> int:
    return _cents(number) * _RATES[_currency(number)] // 100


def _sum(documents: int, outcomes: frozenset[int]) -> tuple[int, int]:
    numbers = [number for number in range(documents) if number % _OUTCOMES in outcomes]
    return sum(map(_accounting_cents, numbers)), len(numbers)


def _document(number: int, day: int, journal: int) -> tuple[Message, ...]:
    """The eight events of a document, in the order in which they happened."""
    outcome = number % _OUTCOMES
    cents, record, event = _cents(number), _BASE + number, number * EVENTS_PER_DOCUMENT
    amount = b"%d.%02d" % divmod(cents, 100)
    currency = _currency(number)
    code = currency.encode()
    expense = (2 * number).to_bytes(4, "little").hex().encode() + _GUID_TAIL
    key, today = b"%d" % record, _DATES[day]
    t0, t1, t2, t3, t4, t5, t6, t7 = _TIMES[number & 255]
    accounting = b"%d.%02d" % divmod(_accounting_cents(number), 100)
    project = number % _PROJECTS
    category = _CATEGORY_CODES[number % len(_CATEGORIES)]
    entered = _ENTERED % (
        event, today, t0, key, number, amount, code, accounting, category, project, today
    )  # fmt: skip
    created = _EXPENSE % (
        event + 2, today, t2, expense, number, amount, _CURRENCY_KEYS[currency], _PROJECT_KEYS[project]
    )  # fmt: skip
    head: tuple[Message, ...] = (
        (FINANCE, key, entered),
        (FINANCE, key, _POSTED % (event + 1, today, t1, key, number)),
        (DATAVERSE, expense, created),
    )
    if outcome == _MISSING_ACTUAL:
        still = ((event + 3, t3), (event + 4, t4), (event + 5, t5), (event + 6, t6), (event + 7, t7))
        return head + tuple((DATAVERSE, expense, _DECIDED % (place, today, at, expense, 1)) for place, at in still)
    actual = (2 * number + 1).to_bytes(4, "little").hex().encode() + _GUID_TAIL
    line = 0 if outcome == _MISSING_JOURNAL_LINE else record
    middle: tuple[Message, ...] = (
        (DATAVERSE, expense, _DECIDED % (event + 3, today, t3, expense, 2)),
        (DATAVERSE, actual, _ACTUAL % (event + 4, today, t4, actual, amount, _CURRENCY_KEYS[currency], expense)),
        (FINANCE, key, _STAGED % (event + 5, today, t5, key, actual, amount, code, line)),
    )
    if outcome == _MISSING_JOURNAL_LINE:
        return (
            *head,
            *middle,
            (DATAVERSE, actual, _TOUCHED % (event + 6, today, t6, actual)),
            (FINANCE, key, _STILL_STAGED % (event + 7, today, t7, key)),
        )
    return (
        *head,
        *middle,
        (FINANCE, key, _LINE % (event + 6, today, t6, key, _BASE + journal, number)),
        (DATAVERSE, actual, _WRITTEN_BACK % (event + 7, today, t7, actual, number)),
    )


def _journal(number: int) -> Message:
    columns = {"ProjAdvancedJournalId": f"{COMPANY}-{number:06d}", "Status": 3}
    return _reference("ProjAdvancedJournal", _BASE + number, columns)


def _reference(entity: str, row: int | str, columns: dict[str, Any]) -> Message:
    topic, source = (FINANCE, "/finance/bench") if isinstance(row, int) else (DATAVERSE, "/dataverse/bench")
    data = {"entity": entity, "id": str(row), "operation": "upsert", "company": COMPANY, "columns": columns}
    event_id = f"{entity}-{row}"
    return topic, str(row).encode(), _envelope(event_id, source, "tieout.row.changed", _REFERENCE_TIME, data)


def _envelope(event_id: str, source: str, kind: str, at: str, data: dict[str, Any]) -> bytes:
    head = {"specversion": "1.0", "id": event_id, "source": source, "type": kind, "time": at}
    return json.dumps({**head, "data": data}, separators=(",", ":")).encode()


def _calendar() -> Iterator[Message]:
    for year in (2024, 2025):
        bounds = {"StartDate": f"{year}-01-01", "EndDate": f"{year}-12-31"}
        yield _reference("FiscalCalendarYear", _BASE + year, {"FiscalCalendar": _BASE, **bounds})
        for month in range(1, 13):
            first, last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
            period = _BASE + 100 * year + month
            columns: dict[str, Any] = {"StartDate": first.isoformat(), "EndDate": last.isoformat(), "Type": 1}
            yield _reference("FiscalCalendarPeriod", period, {"FiscalCalendarYear": _BASE + year, **columns})
            columns = {"Ledger": _BASE, "FiscalCalendarPeriod": period, "Status": 1 if first >= FIRST_DAY else 2}
            yield _reference("LedgerFiscalCalendarPeriod", period, columns)


def _template(source: str, entity: str, columns: str) -> bytes:
    """Return the template of an event with placeholders for its number, date and time, row, and columns."""
    head = f'"specversion":"1.0","id":"%012x","source":"/{source}/bench","type":"tieout.row.changed","time":"%b%b"'
    data = f'"entity":"{entity}","id":"%b","operation":"upsert","company":"{COMPANY}","columns":{{{columns}}}'
    return f'{{{head},"data":{{{data}}}}}'.encode()


def _lags() -> tuple[tuple[int, ...], ...]:
    """How many documents later each event of a document comes; in one of eight the order is not kept."""
    chance = Random(8)
    lags = []
    for place in range(64):
        later = [chance.randrange(1, SPREAD + 1) for _ in range(EVENTS_PER_DOCUMENT - 1)]
        lags.append((0, *(later if place % 8 == 5 else sorted(later))))
    return tuple(lags)


def _times() -> tuple[tuple[bytes, ...], ...]:
    """The times of the eight events on their day, for each of 256 documents."""
    return tuple(
        tuple(b"T%02d:%02d:%02dZ" % (8 + hour, document % 60, document // 60) for hour in range(EVENTS_PER_DOCUMENT))
        for document in range(256)
    )


_ENTERED = _template(
    "finance",
    "TrvExpTrans",
    '"ProjTransId":"PT%09d","AmountCurr":"%b","ExchangeCode":"%b","AmountMST":"%b",'
    '"CostType":"%b","ProjId":"P-%06d-D","ApprovalStatus":3,"TransDate":"%b"',
)
_POSTED = _template("finance", "TrvExpTrans", '"ApprovalStatus":6,"Voucher":"V%09d"')
_EXPENSE = _template(
    "dataverse",
    "msdyn_expense",
    '"assumed_externalexpenseid":"PT%09d","msdyn_amount":"%b","transactioncurrencyid":"%b","msdyn_project":"%b",'
    '"msdyn_expensestatus":192350001',
)
_DECIDED = _template("dataverse", "msdyn_expense", '"msdyn_expensestatus":19235000%d')
_ACTUAL = _template(
    "dataverse",
    "msdyn_actual",
    '"msdyn_transactiontypecode":192350000,"msdyn_amount":"%b","transactioncurrencyid":"%b",'
    '"assumed_sourcedocument":"%b","assumed_skipsync":false',
)
_TOUCHED = _template("dataverse", "msdyn_actual", '"assumed_skipsync":false')
_WRITTEN_BACK = _template("dataverse", "msdyn_actual", '"assumed_vouchernumber":"J%09d"')
_STAGED = _template(
    "finance",
    "ProjCDSActualsImport",
    '"ActualId":"%b","Amount":"%b","TransactionCurrencyId":"%b","ProjAdvancedJournalLine":%d',
)
_STILL_STAGED = _template("finance", "ProjCDSActualsImport", '"ProjAdvancedJournalLine":0')
_LINE = _template("finance", "ProjAdvancedJournalLine", '"ProjAdvancedJournal":%d,"Voucher":"J%09d","Status":3')

_OUTCOME_SETS = (
    frozenset((_MISSING_ACTUAL,)),
    frozenset((_MISSING_JOURNAL_LINE,)),
    frozenset(range(_OUTCOMES)) - {_MISSING_ACTUAL, _MISSING_JOURNAL_LINE},
)
_LAGS = _lags()
_TIMES = _times()
_DATES = tuple((FIRST_DAY + timedelta(days=day)).isoformat().encode() for day in range(_DAYS))
_CATEGORY_CODES = tuple(category.encode() for category in _CATEGORIES)
_CURRENCY_IDS = {code: f"{code.encode().hex()}00{_REFERENCE_TAIL}" for code in _RATES}
_CURRENCY_KEYS = {code: row.encode() for code, row in _CURRENCY_IDS.items()}
_PROJECT_IDS = tuple(f"0bb0{place:04x}{_REFERENCE_TAIL}" for place in range(_PROJECTS))
_PROJECT_KEYS = tuple(row.encode() for row in _PROJECT_IDS)
