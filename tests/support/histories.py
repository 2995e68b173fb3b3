"""
Hypothesis strategies for histories: what both systems could have sent about a handful of documents.

A history is the set of events; `deliveries` is one way it can reach us. Ids come from small pools, and documents may
borrow ids of one another, so that keys collide, rows move between documents and chains join and split. Everything is
drawn from hypothesis: a failing history shrinks to few documents, few steps, no faults.

Events are the plain way in (a CloudEvent for each row), as `tieout ingest` takes them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import strategies as st

Event = dict[str, Any]
Columns = dict[str, Any]

COMPANIES = ("USPM", "GBPM")
TODAY = "2025-01-08"
BEGINNING = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)

COST, UNBILLED_SALES = 192350000, 192350005
EXPENSE, INVOICE_LINE = "expense", "vendor-invoice-line"

AMOUNTS = {
    "USD": ("100.00", "33.33", "0.01", "0.00", "-25.50"),
    "EUR": ("80.00", "10.10", "0.00", "-3.33"),
    "JPY": ("100", "12345", "0", "-7"),
    "KWD": ("10.000", "1.005", "0.000", "-0.001"),
}
DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
RATES = {"USD": "14975", "EUR": "110.5", "JPY": "0.67", "KWD": "325.4"}  # into any other currency

# A document may take one of these ids from another document.
IDS = (
    "transaction",
    "line",
    "source line",
    "pending",
    "record",
    "header",
    "actual",
    "staging",
    "journal line",
    "journal",
)

# Faults of a document besides its lifecycle.
FAULTS = (
    "actual deleted", "actual in another currency", "actual in another currency with accounting amount",
    "amount differs", "cancelled in dataverse", "cancelled in finance", "company column corrected",
    "duplicated staging row", "external id corrected", "external id in another case", "header cancelled",
    "intercompany", "journal deleted", "journal line deleted", "journal line moved", "line deleted", "line re-created",
    "manual verification", "net amount", "no accounting amount", "no date", "no project", "no rate",
    "no source document", "no transaction id", "pending rows deleted", "re-imported", "record deleted",
    "record re-created", "rejected", "replaced", "reversed", "sales actual", "second actual", "second record",
    "skip sync", "source document moved", "staging deleted", "status on the journal only", "transaction id changed",
)  # fmt: skip

# The faults that have the most to say about actuals and journal lines; drawn once more, so that they come often.
CORRECTIONS = ("reversed", "replaced", "second actual", "sales actual", "journal line deleted", "re-imported")

# What can happen to one event on its way. The number is the event's place in the history, from the front.
QUIRKS = (
    "never sent", "an hour earlier", "at the same time as the one before", "version 1", "version 2",
    "modified earlier", "modified later", "without company", "contradicted at the same time",
    "contradicted by an older version", "voided at the same time",
)  # fmt: skip

# Entities that an environment may not send at all.
MAY_BE_UNSENT = (
    "cdm_company", "transactioncurrency", "msdyn_projectvendorinvoice", "VendInvoiceJour", "ProjAdvancedJournal",
    "ProjAdvancedJournalLine", "ProjCDSActualsImport", "msdyn_expense", "msdyn_actual",
)  # fmt: skip

# For "contradicted": another value of the same column.
CONTRADICTIONS: Columns = {
    "AmountCurr": "77.00", "LineAmount": "77.00", "msdyn_amount": "77.00", "Status": 1, "ApprovalStatus": 8,
    "msdyn_expensestatus": 192350001, "statuscode": 900000000, "ProjTransId": "000001", "ProjAdvancedJournalLine": 0,
    "msdyn_externalinvoiceline": "000001", "assumed_externalexpenseid": "000001", "LedgerVoucher": "USPM-999",
    "isocurrencycode": "EUR", "cdm_companycode": "GBPM", "msdyn_transaction1role": "Replacing",
}  # fmt: skip


# -- ids ---------------------------------------------------------------------------------------------------------------


def rec_id(table: int, n: int) -> str:
    """A RecId like those of Finance; all have the same length, so their order is the order of their text."""
    return str(5637144576 + table * 1000 + n)


def guid(table: int, n: int) -> str:
    return f"{table:08x}-0000-4000-8000-{n:012x}"


def lookup(entity: str, id_: str) -> Columns:
    return {"entity": entity, "id": id_, "name": None}


COMPANY_GUIDS = {company: guid(0xC0, n) for n, company in enumerate(COMPANIES, 1)}
CURRENCY_GUIDS = {currency: guid(0xCC, n) for n, currency in enumerate(AMOUNTS, 1)}


# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One change of one row, not yet stamped with a time."""

    system: str
    entity: str
    id: str
    columns: Columns = field(default_factory=dict)
    company: str | None = None
    delete: bool = False


def finance(entity: str, id_: str, company: str, **columns: Any) -> Step:
    return Step("finance", entity, id_, columns, company)


def row_event(step: Step, number: int, time: datetime, version: int | None = None) -> Event:
    """The event of the change, in the format of the plain envelope."""
    data: dict[str, Any] = {"entity": step.entity, "id": step.id, "operation": "delete" if step.delete else "upsert"}
    if version is not None:
        data["version"] = version
    if step.company is not None:
        data["company"] = step.company
    if not step.delete:
        data["columns"] = step.columns
    value = {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": f"/{step.system}/test",
        "type": "tieout.row.changed",
        "time": stamp(time),
        "data": data,
    }
    return {"topic": f"{step.system}.changes", "key": step.id, "headers": {}, "value": value}


def heartbeat(system: str, until: datetime) -> Event:
    value = {
        "specversion": "1.0",
        "id": f"heartbeat-{system}",
        "source": f"/{system}/test",
        "type": "tieout.source.complete",
        "time": stamp(until),
        "data": {"until": stamp(until)},
    }
    return {"topic": f"{system}.changes", "key": None, "headers": {}, "value": value}


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


# -- one document ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What is drawn for one document; the rest follows."""

    number: int
    kind: str
    company: str
    accounting: str  # accounting currency of the company
    currency: str
    amount: str
    on: str
    stage: int  # the last step of the lifecycle
    skipped: tuple[int, ...]  # steps of the lifecycle that were not sent
    faults: tuple[str, ...]
    borrowed: tuple[str, ...]  # kinds of id taken from the other document
    other: int  # number of the other document
    scope: str  # where Dataverse rows say their company: event, column, both, nowhere
    link: str  # how actuals say their source: lookup, origin, both
    first_status: int
    line_status: int | None
    correction_stage: int  # the last step of a reversal, replacement or second actual

    def has(self, fault: str) -> bool:
        return fault in self.faults

    def n(self, kind_of_id: str) -> int:
        return self.other if kind_of_id in self.borrowed else self.number

    def rec_id(self, table: int, n: int) -> str:
        """A row of Finance never changes its company, so documents share rows only within one."""
        return rec_id(table, n + 500 * COMPANIES.index(self.company))

    @property
    def transaction(self) -> str:
        return f"{self.n('transaction'):06d}"

    @property
    def other_transaction(self) -> str:
        return f"{self.other:06d}"

    @property
    def line(self) -> str:
        return self.rec_id(1 if self.kind == EXPENSE else 2, self.n("line"))

    @property
    def record(self) -> str:
        return self.record_of(self.n("record"))

    def record_of(self, n: int) -> str:
        return guid(0xE0 if self.kind == EXPENSE else 0xF0, n)

    @property
    def record_entity(self) -> str:
        return "msdyn_expense" if self.kind == EXPENSE else "msdyn_projectvendorinvoiceline"

    @property
    def external_column(self) -> str:
        return "assumed_externalexpenseid" if self.kind == EXPENSE else "msdyn_externalinvoiceline"

    @property
    def company_column(self) -> str:
        return "assumed_owningcompany" if self.kind == EXPENSE else "msdyn_owningcompany"

    @property
    def header(self) -> str:
        return guid(0xFA, self.n("header"))

    @property
    def actual(self) -> str:
        return guid(0xA0, self.n("actual"))

    @property
    def rate(self) -> str:
        return "100" if self.currency == self.accounting else RATES[self.currency]

    @property
    def booked(self) -> str:
        """The amount in accounting currency."""
        unit = Decimal(1).scaleb(-DECIMALS[self.accounting])
        return str((Decimal(self.amount) * Decimal(self.rate) / 100).quantize(unit, rounding=ROUND_HALF_UP))


def dataverse(plan: Plan, entity: str, id_: str, company_column: str | None = None, **columns: Any) -> Step:
    """A change of a Dataverse row, with its company where the plan puts it."""
    if company_column and plan.scope in ("column", "both"):
        columns[company_column] = lookup("cdm_company", COMPANY_GUIDS[plan.company])
    return Step("dataverse", entity, id_, columns, plan.company if plan.scope in ("event", "both") else None)


def deletion(step: Step) -> Step:
    return replace(step, columns={}, delete=True)


def steps_of(plan: Plan) -> list[Step]:
    """Everything that happened to a document: its lifecycle up to its stage, then its faults."""
    beginning = expense_beginning(plan) if plan.kind == EXPENSE else invoice_beginning(plan)
    tail = actual_tail(plan, plan.actual, plan.n("actual"), plan.amount if not plan.has("amount differs") else "7.00")
    lifecycle = [*beginning, *tail]
    sent = [step for n, step in enumerate(lifecycle[: plan.stage + 1]) if n not in plan.skipped]
    return [change for step in sent for change in step] + [
        change for fault in plan.faults for change in consequences(plan, fault)
    ]


def expense_beginning(plan: Plan) -> list[list[Step]]:
    """Entered, posted, in Dataverse, approved."""
    entered = {
        "ProjTransId": "" if plan.has("no transaction id") else plan.transaction,
        "ProjId": "" if plan.has("no project") else f"P-{plan.number}",
        "CostType": "Flight",
        "AmountCurr": plan.amount,
        "ExchangeCode": plan.currency,
        "ExchangeRate": None if plan.has("no rate") else plan.rate,
        "AmountMST": None if plan.has("no accounting amount") else plan.booked,
        "TransDate": None if plan.has("no date") else plan.on,
        "ApprovalStatus": plan.first_status,
        "InterCompanyLE": other_company(plan) if plan.has("intercompany") else "",
    }
    if plan.has("net amount"):
        entered["NetTransactionAmount"] = "9.00"
    posted = {
        "ApprovalStatus": 8 if plan.has("cancelled in finance") else 6,
        "Voucher": f"{plan.company}-{plan.number}",
    }
    approval = dataverse(plan, plan.record_entity, plan.record, msdyn_expensestatus=192350002)
    return [
        [finance("TrvExpTrans", plan.line, plan.company, **entered)],
        [finance("TrvExpTrans", plan.line, plan.company, **posted)],
        [record_created(plan, plan.record)],
        [approval],
    ]


def invoice_beginning(plan: Plan) -> list[list[Step]]:
    """Pending, posted, in Dataverse, confirmed."""
    source_line, pending = plan.rec_id(3, plan.n("source line")), plan.rec_id(4, plan.n("pending"))
    invoice: Columns = {"InvoiceId": f"Inv-{plan.n('header')}", "InvoiceDate": None if plan.has("no date") else plan.on}
    return [
        [
            finance("VendInvoiceInfoLine", pending, plan.company, SourceDocumentLine=int(source_line)),
            finance(
                "VendInvoiceInfoLine_Project",
                plan.rec_id(5, plan.n("pending")),
                plan.company,
                VendInvoiceInfoLineRefRecId=int(pending),
                ProjId="" if plan.has("no project") else f"P-{plan.number}",
                ProjDataAreaId=other_company(plan) if plan.has("intercompany") else plan.company.lower(),
                ProjCategoryId="Material",
                ProjTransId="" if plan.has("no transaction id") else plan.transaction,
            ),
        ],
        [
            finance(
                "VendInvoiceTrans",
                plan.line,
                plan.company,
                **invoice,
                LineNum="1",
                LineAmount=plan.amount,
                LineAmountMST=None if plan.has("no accounting amount") else plan.booked,
                CurrencyCode=plan.currency,
                SourceDocumentLine=source_line,
            ),
            finance(
                "VendInvoiceJour",
                plan.rec_id(6, plan.n("header")),
                plan.company,
                **invoice,
                LedgerVoucher=f"{plan.company}-{plan.number}",
                CurrencyCode=plan.currency,
                ExchRate=None if plan.has("no rate") else plan.rate,
            ),
        ],
        [
            dataverse(
                plan,
                "msdyn_projectvendorinvoice",
                plan.header,
                statuscode=900000000,
                msdyn_enableautomaticconfirmation=not plan.has("manual verification"),
            ),
            record_created(plan, plan.record),
        ],
        [dataverse(plan, "msdyn_projectvendorinvoice", plan.header, statuscode=900000002)],
    ]


def record_created(plan: Plan, id_: str) -> Step:
    """The expense or invoice line as it arrives in Dataverse."""
    external = plan.other_transaction if plan.has("external id corrected") else plan.transaction
    columns: Columns = {
        plan.external_column: plan.line if plan.has("no transaction id") else external,
        "msdyn_amount": plan.amount,
        "statecode": 0,
    }
    if plan.kind == EXPENSE:
        columns["msdyn_expensestatus"] = 192350001
    else:
        columns["msdyn_vendorinvoice"] = lookup("msdyn_projectvendorinvoice", plan.header)
    step = dataverse(plan, plan.record_entity, id_, plan.company_column, **columns)
    if plan.has("company column corrected"):
        step.columns[plan.company_column] = lookup("cdm_company", COMPANY_GUIDS[other_company(plan)])
    return step


def actual_tail(plan: Plan, id_: str, n: int, amount: str, *, with_source: bool = True) -> list[list[Step]]:
    """An actual, its staging row, its journal line, posted, written back."""
    abroad = plan.has("actual in another currency") or plan.has("actual in another currency with accounting amount")
    currency = next(c for c in AMOUNTS if c != plan.currency) if abroad else plan.currency
    columns: Columns = {
        "msdyn_transactiontypecode": COST,
        "msdyn_amount": amount,
        "transactioncurrencyid": lookup("transactioncurrency", CURRENCY_GUIDS[currency]),
        "assumed_skipsync": plan.has("skip sync"),
    }
    if plan.has("actual in another currency with accounting amount"):
        columns["assumed_accountingamount"] = plan.booked
    with_source = with_source and not plan.has("no source document")
    if with_source and plan.link in ("lookup", "both"):
        columns["assumed_sourcedocument"] = lookup(plan.record_entity, plan.record)
    created = [dataverse(plan, "msdyn_actual", id_, "assumed_owningcompany", **columns)]
    if with_source and plan.link in ("origin", "both"):
        columns = {"msdyn_origin": plan.record, "msdyn_transaction": id_}
        created.append(dataverse(plan, "msdyn_transactionorigin", guid(0x0A, n), **columns))
    line = plan.rec_id(8, plan.n("journal line") if n == plan.n("actual") else n)
    journal = plan.rec_id(9, plan.n("journal"))
    status = None if plan.has("status on the journal only") else plan.line_status
    staging = staging_of(plan, n)
    line_columns = {"ProjAdvancedJournal": int(journal), "Voucher": f"PJ-{n}", "Status": status}
    posting = finance("ProjAdvancedJournalLine", line, plan.company, Status=3)
    if plan.has("status on the journal only"):
        posting = finance("ProjAdvancedJournal", journal, plan.company, Status=3)
    posted = {"VoucherNumber": f"PJ-{n}", "AccountingAmount": plan.booked}
    return [
        created,
        [
            finance(
                "ProjCDSActualsImport",
                staging,
                plan.company,
                ActualId="{" + id_.upper() + "}",
                Amount=amount,
                TransactionCurrencyId=currency,
                ProjAdvancedJournalLine=0,
                VoucherNumber="",
            )
        ],
        [
            finance(
                "ProjAdvancedJournal",
                journal,
                plan.company,
                ProjAdvancedJournalId=f"J-{plan.n('journal')}",
                Status=plan.line_status,
            ),
            finance("ProjAdvancedJournalLine", line, plan.company, **line_columns),
            finance("ProjCDSActualsImport", staging, plan.company, ProjAdvancedJournalLine=int(line)),
        ],
        [posting],
        [finance("ProjCDSActualsImport", staging, plan.company, **posted)],
        [dataverse(plan, "msdyn_actual", id_, msdyn_externalreferenceid=f"PJ-{n}")],
    ]


def staging_of(plan: Plan, n: int) -> str:
    return plan.rec_id(7, plan.n("staging") if n == plan.n("actual") else n)


def other_company(plan: Plan) -> str:
    return next(company for company in COMPANIES if company != plan.company)


def consequences(plan: Plan, fault: str) -> list[Step]:
    """What a fault adds after the lifecycle; faults not named here have shaped the lifecycle itself."""
    n = plan.n("actual")
    entity = "TrvExpTrans" if plan.kind == EXPENSE else "VendInvoiceTrans"
    line = finance(entity, plan.line, plan.company)
    record = dataverse(plan, plan.record_entity, plan.record)
    actual = dataverse(plan, "msdyn_actual", plan.actual)
    staging = finance("ProjCDSActualsImport", staging_of(plan, n), plan.company)
    journal = finance("ProjAdvancedJournal", plan.rec_id(9, plan.n("journal")), plan.company)
    journal_line = finance("ProjAdvancedJournalLine", plan.rec_id(8, plan.n("journal line")), plan.company)
    pending = finance("VendInvoiceInfoLine", plan.rec_id(4, plan.n("pending")), plan.company)
    project = finance("VendInvoiceInfoLine_Project", plan.rec_id(5, plan.n("pending")), plan.company)
    header = dataverse(plan, "msdyn_projectvendorinvoice", plan.header)
    again = 100 + n  # a number of its own for what comes a second time

    def set_(step: Step, **columns: Any) -> Step:
        return replace(step, columns=columns)

    def correction(role: str, amount: str) -> list[Step]:
        """A reversal or replacement; a connection identifies its original, the source is optional."""
        m = again + (100 if role == "Reversing" else 200)
        id_ = guid(0xA0, m)
        connected = dataverse(
            plan,
            "msdyn_transactionconnection",
            guid(0xAC, m),
            msdyn_transaction1=id_,
            msdyn_transaction1role=role,
            msdyn_transaction2=plan.actual,
            msdyn_transaction2role="Original",
        )
        tail = actual_tail(plan, id_, m, amount, with_source=False)[: plan.correction_stage + 1]
        return [connected, *(change for step in tail for change in step)]

    match fault:
        case "actual deleted":
            return [deletion(actual)]
        case "cancelled in dataverse":
            return [set_(record, statecode=1)]
        case "company column corrected":
            owner = lookup("cdm_company", COMPANY_GUIDS[plan.company])
            return [set_(record, **{plan.company_column: owner})]
        case "duplicated staging row":
            columns = {"ActualId": plan.actual, "ProjAdvancedJournalLine": 0}
            return [finance("ProjCDSActualsImport", plan.rec_id(7, again), plan.company, **columns)]
        case "external id corrected":
            return [set_(record, **{plan.external_column: plan.transaction})]
        case "external id in another case":
            return [
                set_(record, **{plan.external_column: f"pt-{plan.transaction}"}),
                set_(line if plan.kind == EXPENSE else project, ProjTransId=f"PT-{plan.transaction}"),
            ]
        case "header cancelled" if plan.kind == INVOICE_LINE:
            return [set_(header, statuscode=900000003)]
        case "journal deleted":
            return [deletion(journal)]
        case "journal line deleted":
            return [deletion(journal_line)]
        case "journal line moved":
            moved = finance("ProjAdvancedJournal", plan.rec_id(9, again), plan.company)
            return [
                set_(moved, ProjAdvancedJournalId=f"J-{again}", Status=1),
                set_(journal_line, ProjAdvancedJournal=int(moved.id)),
            ]
        case "line deleted":
            return [deletion(line)]
        case "line re-created" if plan.kind == EXPENSE:
            return [deletion(line), *expense_beginning(plan)[0], set_(line, ApprovalStatus=6)]
        case "pending rows deleted" if plan.kind == INVOICE_LINE:
            return [deletion(pending), deletion(project)]
        case "record deleted":
            return [deletion(record)]
        case "record re-created":
            return [deletion(record), record_created(plan, plan.record)]
        case "re-imported":
            new = finance("ProjAdvancedJournalLine", plan.rec_id(8, again), plan.company)
            return [
                deletion(journal_line),
                set_(new, ProjAdvancedJournal=int(journal.id), Voucher=f"PJ-{again}", Status=plan.line_status),
                set_(staging, ProjAdvancedJournalLine=int(new.id)),
            ]
        case "rejected" if plan.kind == EXPENSE:
            return [set_(record, msdyn_expensestatus=192350003)]
        case "replaced":
            return correction("Replacing", plan.amount)
        case "reversed":
            return correction("Reversing", str(-Decimal(plan.amount)))
        case "sales actual":
            sales = guid(0xA0, again + 300)
            columns = {
                "msdyn_transactiontypecode": UNBILLED_SALES,
                "msdyn_amount": "120.00",
                "transactioncurrencyid": lookup("transactioncurrency", CURRENCY_GUIDS[plan.currency]),
                "assumed_sourcedocument": lookup(plan.record_entity, plan.record),
            }
            roles = {"msdyn_transaction1role": "Unbilled Sales", "msdyn_transaction2role": "Cost"}
            ends = {"msdyn_transaction1": sales, "msdyn_transaction2": plan.actual}
            return [
                dataverse(plan, "msdyn_actual", sales, "assumed_owningcompany", **columns),
                dataverse(plan, "msdyn_transactionconnection", guid(0xAC, again + 300), **ends, **roles),
            ]
        case "second actual":
            tail = actual_tail(plan, guid(0xA0, again), again, "4.00")[: plan.correction_stage + 1]
            return [change for step in tail for change in step]
        case "second record":
            return [record_created(plan, plan.record_of(again))]
        case "source document moved":
            return [set_(actual, assumed_sourcedocument=lookup(plan.record_entity, plan.record_of(plan.other)))]
        case "staging deleted":
            return [deletion(staging)]
        case "transaction id changed":
            return [set_(line if plan.kind == EXPENSE else project, ProjTransId=plan.other_transaction)]
    return []


# -- reference data of the documents ----------------------------------------------------------------------------------


def reference_data(accounting: dict[str, str], open_periods: tuple[bool, ...]) -> list[Step]:
    """Companies, currencies, and the calendar of 2024 and 2025: an opening period and two operating ones a year."""
    steps = [
        Step("dataverse", "cdm_company", COMPANY_GUIDS[company], {"cdm_companycode": company}) for company in COMPANIES
    ]
    steps += [
        Step("dataverse", "transactioncurrency", id_, {"isocurrencycode": code}) for code, id_ in CURRENCY_GUIDS.items()
    ]
    ledgers = []
    for n, company in enumerate(COMPANIES, 1):
        info, ledger = rec_id(20, n), rec_id(21, n)
        currency, calendar = accounting[company], int(rec_id(22, 1))
        steps.append(finance("CompanyInfo", info, company, DataArea=company.lower(), Name=f"{company} Ltd"))
        columns = {"PrimaryForLegalEntity": int(info), "AccountingCurrency": currency, "FiscalCalendar": calendar}
        steps.append(finance("Ledger", ledger, company, **columns))
        ledgers.append(ledger)
    for n, year in enumerate((2024, 2025)):
        columns = {"FiscalCalendar": int(rec_id(22, 1)), "StartDate": f"{year}-01-01", "EndDate": f"{year}-12-31"}
        steps.append(Step("finance", "FiscalCalendarYear", rec_id(23, n), columns))
        periods = (("01-01", "01-01", 0), ("01-01", "06-30", 1), ("07-01", "12-31", 1))
        for m, (first, last, type_) in enumerate(periods):
            period = rec_id(24, 10 * n + m)
            columns = {
                "FiscalCalendarYear": int(rec_id(23, n)),
                "StartDate": f"{year}-{first}",
                "EndDate": f"{year}-{last}",
                "Type": type_,
            }
            steps.append(Step("finance", "FiscalCalendarPeriod", period, columns))
            for k, ledger in enumerate(ledgers):
                status = 1 if open_periods[3 * n + m] else 2
                columns = {"Ledger": int(ledger), "FiscalCalendarPeriod": int(period), "Status": status}
                steps.append(Step("finance", "LedgerFiscalCalendarPeriod", rec_id(25, 10 * (3 * n + m) + k), columns))
    return steps


# -- strategies --------------------------------------------------------------------------------------------------------


def some(of: Iterable[Any], at_most: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(list(of)), max_size=at_most, unique=True).map(tuple)


@st.composite
def plans(draw: st.DrawFn, number: int, accounting: dict[str, str]) -> Plan:
    """One document of the history."""
    company = draw(st.sampled_from(COMPANIES))
    currency = draw(st.sampled_from(list(AMOUNTS)))
    return Plan(
        number=number,
        kind=draw(st.sampled_from((EXPENSE, INVOICE_LINE))),
        company=company,
        accounting=accounting[company],
        currency=currency,
        amount=draw(st.sampled_from(AMOUNTS[currency])),
        on=draw(st.sampled_from(("2025-01-08", "2024-06-30", "2025-01-09"))),
        stage=draw(st.sampled_from((*range(10), 6, 7, 8, 9))),
        skipped=draw(some(range(12), 2)),
        faults=tuple(dict.fromkeys(draw(some(FAULTS, 3)) + draw(some(CORRECTIONS, 2)))),
        borrowed=draw(some(IDS, 2)),
        other=draw(st.integers(1, 3)),
        scope=draw(st.sampled_from(("both", "event", "column", "nowhere"))),
        link=draw(st.sampled_from(("lookup", "origin", "both"))),
        first_status=draw(st.sampled_from((6, 3, 5, 2, 8))),
        line_status=draw(st.sampled_from((0, 1, 2, 3, 4, 5, 99, None))),
        correction_stage=draw(st.integers(0, 5)),
    )


@st.composite
def histories(draw: st.DrawFn, max_documents: int = 6, *, heartbeats: bool = True) -> list[Event]:
    """All events of one to six documents over two companies, with the reference data around them."""
    accounting = {"USPM": "USD", "GBPM": draw(st.sampled_from(("USD", "JPY")))}
    count = draw(st.integers(1, max_documents))
    documents = [draw(plans(number, accounting)) for number in range(1, count + 1)]
    unsent = set(draw(some(MAY_BE_UNSENT, 2)))
    open_periods = (*draw(st.tuples(*[st.booleans()] * 5)), False)  # none that begins after today
    steps = [step for plan in documents for step in steps_of(plan)]
    places = st.tuples(st.integers(0, len(steps) + 5), st.sampled_from(QUIRKS))  # companies and currencies too
    steps = [step for step in steps + reference_data(accounting, open_periods) if step.entity not in unsent]
    events = stamped(steps, dict(draw(st.lists(places, max_size=8))))
    for system in ("finance", "dataverse"):
        # Well before or well after everything else: which time a step has is not the question here.
        days = draw(st.sampled_from((None, None, 1, -1))) if heartbeats else None
        if days is not None:
            events.append(heartbeat(system, BEGINNING + timedelta(days=days)))
    return events


def stamped(steps: list[Step], quirks: dict[int, str]) -> list[Event]:
    """One event a minute, each with what happened to it on its way."""
    events: list[Event] = []
    previous = BEGINNING
    for n, step in enumerate(steps):
        quirk = quirks.get(n)
        time = previous + timedelta(minutes=1)
        match quirk:
            case "never sent":
                continue
            case "an hour earlier":
                events.append(row_event(step, n, time - timedelta(hours=1)))
            case "at the same time as the one before":
                events.append(row_event(step, n, previous))
            case "version 1" | "version 2":
                # Together with its neighbour at the same time the version decides.
                events.append(row_event(step, n, previous, int(quirk[-1])))
            case "modified earlier" | "modified later" if step.system == "dataverse" and not step.delete:
                shift = timedelta(minutes=-30 if quirk == "modified earlier" else 30)
                columns = {**step.columns, "modifiedon": stamp(time + shift)}
                events.append(row_event(replace(step, columns=columns), n, time))
            case "without company" if step.system == "dataverse":
                events.append(row_event(replace(step, company=None), n, time))
            case "contradicted at the same time" | "contradicted by an older version":
                other = {c: CONTRADICTIONS[c] for c in step.columns if c in CONTRADICTIONS}
                newer, older = (2, 1) if quirk.endswith("version") else (None, None)
                events.append(row_event(step, n, time, newer))
                events.append(row_event(replace(step, columns=other), 1000 + n, time, older))
            case "voided at the same time":
                events.append(row_event(step, n, time))
                events.append(row_event(deletion(step), 1000 + n, time))
            case _:
                events.append(row_event(step, n, time))
        previous = time
    return events


def deliveries(events: list[Event]) -> st.SearchStrategy[list[Event]]:
    """One way the events can arrive: in any order, some of them twice."""
    again = st.lists(st.sampled_from(events), max_size=5)
    return again.flatmap(lambda twice: st.permutations([*events, *twice]))
