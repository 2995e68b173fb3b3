"""The lifecycle of one document of a generated history: which rows both systems send, step by step."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.support.history_events import (
    AMOUNTS,
    COMPANIES,
    COMPANY_GUIDS,
    CURRENCY_GUIDS,
    DECIMALS,
    RATES,
    Columns,
    Step,
    finance,
    guid,
    lookup,
    rec_id,
)

COST, UNBILLED_SALES = 192350000, 192350005
EXPENSE, INVOICE_LINE = "expense", "vendor-invoice-line"


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
    scope: str  # where Dataverse rows contain their company: event, column, both, nowhere
    link: str  # how actuals refer to their source: lookup, origin, both
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
    if plan.has("project not sent"):
        del entered["ProjId"]
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
    return [
        [] if plan.has("pending rows unknown") else pending_rows(plan),
        posted_rows(plan),
        [
            dataverse(
                plan,
                "msdyn_projectvendorinvoice",
                plan.header,
                msdyn_vendorinvoicenumber=f"inv-{plan.n('header')}",
                msdyn_vendor=lookup("account", vendor_guid(plan.n("header"))),
                statuscode=900000000,
                msdyn_enableautomaticconfirmation=not plan.has("manual verification"),
            ),
            record_created(plan, plan.record),
        ],
        [dataverse(plan, "msdyn_projectvendorinvoice", plan.header, statuscode=900000002)],
    ]


def vendor(n: int) -> str:
    """The account of the vendor of an invoice: every second invoice is of the same one."""
    return f"V-{n % 2}"


def vendor_guid(n: int) -> str:
    return guid(0xBA, n % 2 + 1)


def pending_rows(plan: Plan) -> list[Step]:
    """The line of a pending vendor invoice, and its project."""
    pending = plan.rec_id(4, plan.n("pending"))
    line = finance(
        "VendInvoiceInfoLine", pending, plan.company, SourceDocumentLine=int(plan.rec_id(3, plan.n("source line")))
    )
    if plan.has("of a purchase order"):
        line.columns["PurchLineRecId"] = 5637144999
    if plan.has("project not sent") or plan.has("of a purchase order"):
        return [line]
    return [
        line,
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
    ]


def posted_rows(plan: Plan) -> list[Step]:
    """The posted line and its invoice."""
    invoice: Columns = {"InvoiceId": f"Inv-{plan.n('header')}", "InvoiceDate": None if plan.has("no date") else plan.on}
    return [
        finance(
            "VendInvoiceTrans",
            plan.line,
            plan.company,
            **invoice,
            LineNum="1",
            LineAmount=plan.amount,
            LineAmountMST=None if plan.has("no accounting amount") else plan.booked,
            CurrencyCode=plan.currency,
            SourceDocumentLine=plan.rec_id(3, plan.n("source line")),
        ),
        finance(
            "VendInvoiceJour",
            plan.rec_id(6, plan.n("header")),
            plan.company,
            **invoice,
            InvoiceAccount=vendor(plan.n("header")),
            LedgerVoucher=f"{plan.company}-{plan.number}",
            CurrencyCode=plan.currency,
            ExchRate=None if plan.has("no rate") else plan.rate,
        ),
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
        columns |= {"assumed_linenumber": "1.0", "msdyn_price": plan.amount, "msdyn_quantity": "1.0000000000"}
    step = dataverse(plan, plan.record_entity, id_, plan.company_column, **columns)
    if plan.has("company column corrected"):
        step.columns[plan.company_column] = lookup("cdm_company", COMPANY_GUIDS[other_company(plan)])
    return step


def actual_tail(plan: Plan, id_: str, n: int, amount: str, *, with_source: bool = True) -> list[list[Step]]:
    """An actual, its staging row, its journal line, posted, written back."""
    currency = currency_of_actual(plan)
    created = actual_created(plan, id_, n, amount, with_source=with_source)
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
                ProjectId=f"p-{plan.number}",
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


def currency_of_actual(plan: Plan) -> str:
    abroad = plan.has("actual in another currency") or plan.has("actual in another currency with accounting amount")
    return next(c for c in AMOUNTS if c != plan.currency) if abroad else plan.currency


def actual_created(plan: Plan, id_: str, n: int, amount: str, *, with_source: bool) -> list[Step]:
    """An actual, with its source document as the plan links it."""
    columns: Columns = {
        "msdyn_transactiontypecode": COST,
        "msdyn_amount": amount,
        "transactioncurrencyid": lookup("transactioncurrency", CURRENCY_GUIDS[currency_of_actual(plan)]),
        "assumed_skipsync": plan.has("skip sync"),
        "msdyn_accountingdate": plan.on,
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
    return created


def staging_of(plan: Plan, n: int) -> str:
    return plan.rec_id(7, plan.n("staging") if n == plan.n("actual") else n)


def other_company(plan: Plan) -> str:
    return next(company for company in COMPANIES if company != plan.company)
