"""The words of the notation of stories: a kind of row, its columns and its default values for each."""

from dataclasses import dataclass, field
from typing import Final

from engine.events.facts import Source


def numbered(**numbers: int) -> dict[str, int]:
    return {name.replace("_", "-"): number for name, number in numbers.items()}


EXPENSE_STATUS: Final = numbered(
    none=0, draft=1, submitted=2, approved=3, rejected=4, ready=5, processed=6, cancelled=8, in_review=9
)
DATAVERSE_STATUS: Final = numbered(
    draft=192350000,
    submitted=192350001,
    approved=192350002,
    rejected=192350003,
    posted=192350004,
    paid=192350005,
    recall_requested=192350006,
)
HEADER_STATUS: Final = numbered(draft=900000000, in_process=900000001, confirmed=900000002, cancelled=900000003)
ACTUAL_TYPE: Final = numbered(cost=192350000, unbilled_sales=192350005, billed_sales=192350006)
ACTUAL_CLASS: Final = numbered(time=192350000, expense=192350001, material=192350002)
LINE_STATUS: Final = numbered(draft=0, error=1, processing=2, posted=3, unrecoverable=4, invalid_actual=5)
STATE: Final = numbered(active=0, inactive=1)
CURRENCIES: Final = {"USD": "U1", "EUR": "U2", "JPY": "U3"}
OWNERS: Final = {"USPM": "O1", "GBPM": "O2"}


@dataclass(frozen=True)
class Word:
    """A kind of row: its entity, the letter of its names, the columns of its values, and the default values.

    In a default value `#` is the number of the name. `meanings` translate values: names of choices into numbers, names
    of rows into ids.
    """

    source: Source
    entity: str
    letter: str
    columns: dict[str, str]
    usual: dict[str, str] = field(default_factory=dict)
    meanings: dict[str, dict[str, int] | dict[str, str]] = field(default_factory=dict)
    company: str | None = None


WORDS: Final = {
    "expense": Word(
        "finance",
        "TrvExpTrans",
        "E",
        {
            "id": "ProjTransId",
            "amount": "AmountCurr",
            "net": "NetTransactionAmount",
            "currency": "ExchangeCode",
            "rate": "ExchangeRate",
            "booked": "AmountMST",
            "status": "ApprovalStatus",
            "voucher": "Voucher",
            "date": "TransDate",
            "project": "ProjId",
            "category": "CostType",
            "charged-to": "InterCompanyLE",
        },
        {
            "id": "T#",
            "amount": "100.00",
            "currency": "USD",
            "status": "processed",
            "date": "2025-01-08",
            "project": "P-1",
        },
        {"status": EXPENSE_STATUS},
        "USPM",
    ),
    # A posted vendor invoice line, its pending line, the project of that, and the posted invoice.
    "invoice-line": Word(
        "finance",
        "VendInvoiceTrans",
        "I",
        {
            "of": "SourceDocumentLine",
            "amount": "LineAmount",
            "booked": "LineAmountMST",
            "currency": "CurrencyCode",
            "invoice": "InvoiceId",
            "date": "InvoiceDate",
            "number": "LineNum",
            "category": "ProcurementCategory",
        },
        {"of": "#", "amount": "100.00", "currency": "USD", "invoice": "Inv-#", "date": "2025-01-08", "number": "1"},
        company="USPM",
    ),
    "pending-line": Word(
        "finance",
        "VendInvoiceInfoLine",
        "P",
        {"of": "SourceDocumentLine", "vendor": "InvoiceAccount", "ordered": "PurchLineRecId"},
        {"of": "#"},
        company="USPM",
    ),
    "pending-project": Word(
        "finance",
        "VendInvoiceInfoLine_Project",
        "X",
        {
            "of": "VendInvoiceInfoLineRefRecId",
            "id": "ProjTransId",
            "project": "ProjId",
            "company": "ProjDataAreaId",
            "category": "ProjCategoryId",
        },
        {"of": "P#", "id": "T#", "project": "P-1", "company": "USPM"},
        company="USPM",
    ),
    "invoice": Word(
        "finance",
        "VendInvoiceJour",
        "V",
        {
            "invoice": "InvoiceId",
            "date": "InvoiceDate",
            "voucher": "LedgerVoucher",
            "vendor": "InvoiceAccount",
            "rate": "ExchRate",
        },
        {"invoice": "Inv-#", "date": "2025-01-08", "voucher": "USPM-110#", "vendor": "USPM-000011"},
        company="USPM",
    ),
    "record": Word(
        "dataverse",
        "msdyn_expense",
        "R",
        {
            "of": "assumed_externalexpenseid",
            "amount": "msdyn_amount",
            "currency": "transactioncurrencyid",
            "status": "msdyn_expensestatus",
            "state": "statecode",
            "project": "msdyn_project",
            "company": "assumed_owningcompany",
        },
        {"of": "T#"},
        {"status": DATAVERSE_STATUS, "state": STATE, "currency": CURRENCIES, "company": OWNERS},
        "USPM",
    ),
    "invoice-record": Word(
        "dataverse",
        "msdyn_projectvendorinvoiceline",
        "N",
        {
            "of": "msdyn_externalinvoiceline",
            "header": "msdyn_vendorinvoice",
            "number": "assumed_linenumber",
            "price": "msdyn_price",
            "quantity": "msdyn_quantity",
            "currency": "transactioncurrencyid",
            "state": "statecode",
            "project": "msdyn_project",
            "company": "msdyn_owningcompany",
        },
        {"of": "T#", "header": "H#"},
        {"state": STATE, "currency": CURRENCIES, "company": OWNERS},
        "USPM",
    ),
    "header": Word(
        "dataverse",
        "msdyn_projectvendorinvoice",
        "H",
        {
            "number": "msdyn_vendorinvoicenumber",
            "vendor": "msdyn_vendor",
            "status": "statuscode",
            "state": "statecode",
            "automatic": "msdyn_enableautomaticconfirmation",
        },
        {"number": "Inv-#"},
        {"status": HEADER_STATUS, "state": STATE},
    ),
    "actual": Word(
        "dataverse",
        "msdyn_actual",
        "A",
        {
            "of": "assumed_sourcedocument",
            "type": "msdyn_transactiontypecode",
            "class": "msdyn_transactionclassification",
            "amount": "msdyn_amount",
            "booked": "assumed_accountingamount",
            "currency": "transactioncurrencyid",
            "skip-sync": "assumed_skipsync",
            "voucher": "assumed_vouchernumber",
            "reference": "msdyn_externalreferenceid",
            "accounting-date": "msdyn_accountingdate",
            "document-date": "msdyn_documentdate",
            "project": "msdyn_project",
            "category": "msdyn_transactioncategory",
            "company": "assumed_owningcompany",
        },
        {"of": "R#", "type": "cost", "amount": "100.00"},
        {"type": ACTUAL_TYPE, "class": ACTUAL_CLASS, "currency": CURRENCIES, "company": OWNERS},
        "USPM",
    ),
    "origin": Word(
        "dataverse",
        "msdyn_transactionorigin",
        "W",
        {"of": "msdyn_origin", "actual": "msdyn_transaction"},
        {"of": "R#", "actual": "A#"},
    ),
    # reversal C1 A2 of=A1: A2 reverses A1
    "reversal": Word(
        "dataverse",
        "msdyn_transactionconnection",
        "C",
        {
            "status": "msdyn_transaction1",
            "role": "msdyn_transaction1role",
            "of": "msdyn_transaction2",
            "role2": "msdyn_transaction2role",
        },
        {"role": "Reversing", "role2": "Original"},
    ),
    "staging": Word(
        "finance",
        "ProjCDSActualsImport",
        "S",
        {
            "of": "ActualId",
            "line": "ProjAdvancedJournalLine",
            "voucher": "VoucherNumber",
            "amount": "Amount",
            "booked": "AccountingAmount",
            "currency": "TransactionCurrencyId",
            "rate": "ExchangeRate",
            "accounting-date": "AccountingDate",
            "project": "ProjectId",
            "category": "TransactionCategoryId",
            "proposal": "InvoiceProposalId",
        },
        {"of": "A#", "line": "0"},
        company="USPM",
    ),
    "line": Word(
        "finance",
        "ProjAdvancedJournalLine",
        "L",
        {
            "in": "ProjAdvancedJournal",
            "status": "Status",
            "voucher": "Voucher",
            "amount": "ExtendedCost",
            "currency": "CostCurrency",
            "rate": "CostExchangeRate",
            "accounting-date": "AccountingDate",
            "project": "ProjId",
            "category": "ProjCategoryId",
        },
        {"in": "J#"},
        {"status": LINE_STATUS},
        "USPM",
    ),
    "journal": Word(
        "finance",
        "ProjAdvancedJournal",
        "J",
        {"number": "ProjAdvancedJournalId", "status": "Status", "posted": "PostedDateTime"},
        {"number": "USPM-04#"},
        {"status": LINE_STATUS},
        "USPM",
    ),
    "proposal": Word(
        "finance",
        "ProjProposalJour",
        "B",
        {
            "number": "ProposalId",
            "amount": "InvoiceAmount",
            "currency": "CurrencyId",
            "date": "InvoiceDate",
            "invoice": "ProjInvoiceId",
        },
        {"number": "PI-#", "amount": "0.00", "currency": "USD", "date": "2025-01-08"},
        company="USPM",
    ),
    "currency": Word("dataverse", "transactioncurrency", "U", {"status": "isocurrencycode"}),
    "owner": Word("dataverse", "cdm_company", "O", {"status": "cdm_companycode"}),
    "account": Word("dataverse", "account", "Z", {"status": "accountnumber"}),
    "project": Word(
        "dataverse",
        "msdyn_project",
        "D",
        {"status": "assumed_projectnumber", "name": "msdyn_subject", "company": "msdyn_owningcompany"},
        meanings={"company": OWNERS},
    ),
    "category": Word("dataverse", "msdyn_transactioncategory", "Y", {"status": "msdyn_transactioncategorynumber"}),
    "company": Word("finance", "CompanyInfo", "K", {"status": "DataArea", "name": "Name", "zone": "assumed_timezone"}),
    "ledger": Word(
        "finance",
        "Ledger",
        "G",
        {"status": "AccountingCurrency", "company": "PrimaryForLegalEntity", "calendar": "FiscalCalendar"},
        {"company": "K#", "calendar": "1"},
    ),
    "year": Word(
        "finance",
        "FiscalCalendarYear",
        "F",
        {"status": "StartDate", "until": "EndDate", "calendar": "FiscalCalendar"},
        {"calendar": "1"},
    ),
    "period": Word(
        "finance",
        "FiscalCalendarPeriod",
        "M",
        {"status": "StartDate", "until": "EndDate", "year": "FiscalCalendarYear", "type": "Type"},
        {"type": "operating"},
        {"type": numbered(opening=0, operating=1, closing=2)},
    ),
    "period-status": Word(
        "finance",
        "LedgerFiscalCalendarPeriod",
        "Q",
        {"status": "Status", "period": "FiscalCalendarPeriod", "ledger": "Ledger"},
        {"period": "M#", "ledger": "G1"},
        {"status": numbered(on_hold=0, open=1, closed=2)},
    ),
}
WORDS["replacement"] = Word(
    "dataverse",
    "msdyn_transactionconnection",
    "C",
    WORDS["reversal"].columns,
    {"role": "Replacing", "role2": "Original"},
)
# billing C1 A2 of=A1: the billed sales A2 bill the unbilled sales A1
WORDS["billing"] = Word(
    "dataverse",
    "msdyn_transactionconnection",
    "C",
    WORDS["reversal"].columns,
    {"role": "Billed Sales", "role2": "Unbilled Sales"},
)
