"""
Worked examples for the naive model, so that it can be trusted as the other side of a comparison.

Each case is a table that a controller could check: one row for each event, a minute apart. A row is
the entity, the id, and the columns as `Column=value`; text after `|` is the company. `delete` removes the row.
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.histories import deliveries, histories
from tests.support.history_events import BEGINNING, COMPANIES, Event, Step, heartbeat, row_event
from tests.support.naive_chains import EXPENSE, INVOICE_LINE
from tests.support.naive_model import NaiveModel
from tests.support.naive_splitting import PARTS
from tests.support.soak import examples

RECORD, ACTUAL, SECOND, THIRD = (f"{n:08x}-0000-4000-8000-00000000000{n}" for n in (1, 2, 3, 4))
HEADER, USD, EUR, USPM = (f"{n:08x}-0000-4000-8000-00000000000{n}" for n in (5, 6, 7, 8))

LEDGER = """
    CompanyInfo       1      DataArea=uspm
    Ledger            2      PrimaryForLegalEntity=1 AccountingCurrency=USD FiscalCalendar=3
"""

EXPENSE_POSTED = """
    TrvExpTrans       100    ProjTransId=PT1 ProjId=P1 AmountCurr=100.00 ExchangeCode=USD AmountMST=100.00 \
                             TransDate=2025-01-08
    TrvExpTrans       100    ApprovalStatus=6 Voucher=USPM-463
"""
EXPENSE_APPROVED = f"""
    msdyn_expense     {RECORD}  assumed_externalexpenseid=PT1 msdyn_expensestatus=192350002 |USPM
"""
ACTUAL_MADE = f"""
    msdyn_actual      {ACTUAL}  msdyn_transactiontypecode=192350000 msdyn_amount=100.00 \
                      assumed_sourcedocument={RECORD} |USPM
"""
ACTUAL_IN_FINANCE = f"""
    ProjCDSActualsImport 700 ActualId={ACTUAL} ProjAdvancedJournalLine=0
"""
LINE_IMPORTED = """
    ProjAdvancedJournal     900  ProjAdvancedJournalId=USPM-041 Status=0
    ProjAdvancedJournalLine 800  ProjAdvancedJournal=900 Voucher=PJ-1 Status=0
    ProjCDSActualsImport    700  ProjAdvancedJournalLine=800
"""
LINE_POSTED = """
    ProjAdvancedJournalLine 800  Status=3
"""
UP_TO_STAGING = LEDGER + EXPENSE_POSTED + EXPENSE_APPROVED + ACTUAL_MADE + ACTUAL_IN_FINANCE
RECONCILED = UP_TO_STAGING + LINE_IMPORTED + LINE_POSTED

INVOICE_POSTED = """
    VendInvoiceInfoLine          200  SourceDocumentLine=400
    VendInvoiceInfoLine_Project  300  VendInvoiceInfoLineRefRecId=200 ProjTransId=PT9 ProjId=P1 ProjDataAreaId=uspm
    VendInvoiceTrans             500  SourceDocumentLine=400 InvoiceId=Inv-6 InvoiceDate=2025-01-08 \
                                      LineAmount=5000.00 CurrencyCode=USD
    VendInvoiceJour              600  InvoiceId=Inv-6 InvoiceDate=2025-01-08 LedgerVoucher=USPM-1100
"""
INVOICE_IN_DATAVERSE = f"""
    msdyn_projectvendorinvoiceline {RECORD}  msdyn_externalinvoiceline=PT9 msdyn_vendorinvoice={HEADER} |USPM
"""


def value_of(text: str) -> Any:
    known: dict[str, Any] = {"": None, "true": True, "false": False}
    return known.get(text, text)


def story(table: str) -> list[Event]:
    """Return the events of a table. Finance rows are of USPM by default, Dataverse rows of no company."""
    events = []
    for n, line in enumerate(filter(None, map(str.strip, table.splitlines()))):
        row, _, company = line.partition("|")
        entity, id_, *rest = row.split()
        system = "dataverse" if entity.startswith(("msdyn_", "cdm_", "transactioncurrency")) else "finance"
        step = Step(
            system,
            entity,
            id_,
            {name: value_of(value) for name, _, value in (cell.partition("=") for cell in rest if "=" in cell)},
            company.strip() or ("USPM" if system == "finance" else None),
            delete="delete" in rest,
        )
        events.append(row_event(step, n, BEGINNING + timedelta(minutes=n)))
    return events


def expenses(table: str, company: str = "USPM", view: str = "all") -> list[dict[str, Any]]:
    return NaiveModel(story(table)).documents(company, EXPENSE, view)


def expense(table: str) -> dict[str, Any]:
    (row,) = expenses(table)
    return row


def invoice_line(table: str) -> dict[str, Any]:
    (row,) = NaiveModel(story(table)).documents("USPM", INVOICE_LINE)
    return row


def standing(row: dict[str, Any]) -> tuple[str, str | None]:
    return row["position"], row["cause"]


def parts(row: dict[str, Any]) -> list[Any]:
    return [row[part] for part in PARTS]


# -- steps of an expense


# In the first row Dataverse has never sent an actual, so its absence cannot be reported.
ANOTHER_ACTUAL = f"msdyn_actual {THIRD} msdyn_transactiontypecode=192350000 |GBPM\n"
ANOTHER_EXPENSE = f"msdyn_expense {THIRD} msdyn_expensestatus=192350002 |GBPM\n"


@pytest.mark.parametrize(
    ("table", "position", "cause"),
    [
        (LEDGER + EXPENSE_POSTED, "missing-actual", "not-observed"),
        (LEDGER + EXPENSE_POSTED + ANOTHER_EXPENSE, "missing-actual", "not-synced-to-dataverse"),
        (LEDGER + EXPENSE_POSTED + EXPENSE_APPROVED, "missing-actual", "not-observed"),
        (LEDGER + EXPENSE_POSTED + EXPENSE_APPROVED + ANOTHER_ACTUAL, "missing-actual", "no-actual-made"),
        (UP_TO_STAGING + "ProjCDSActualsImport 700 delete", "missing-actual", "actual-not-synced-back"),
        (UP_TO_STAGING, "missing-journal-line", "not-imported"),
        (
            UP_TO_STAGING + "ProjCDSActualsImport 700 ProjAdvancedJournalLine=800",
            "missing-journal-line",
            "not-observed",
        ),
        (UP_TO_STAGING + LINE_IMPORTED, "missing-journal-line", "draft"),
        (
            UP_TO_STAGING + LINE_IMPORTED + "ProjAdvancedJournalLine 800 Status=5",
            "missing-journal-line",
            "invalid-actual",
        ),
        (RECONCILED, "reconciled", None),
    ],
)
def test_how_far_an_expense_got(table: str, position: str, cause: str | None) -> None:
    assert standing(expense(table)) == (position, cause)


def test_a_reconciled_expense_names_its_journal_and_its_vouchers() -> None:
    row = expense(RECONCILED)
    assert (row["document"], row["voucher"], row["journal"], row["journal_voucher"]) == (
        "USPM/PT1",
        "USPM-463",
        "USPM-041",
        "PJ-1",
    )
    assert parts(row) == ["0.00", "0.00", "100.00", "0.00"]


def test_a_posted_journal_line_that_is_deleted_stays_posted() -> None:
    row = expense(RECONCILED + "ProjAdvancedJournalLine 800 delete")
    assert standing(row) == ("reconciled", None)
    assert (row["missing_journal_line"], row["journal"]) == ("0.00", "USPM-041")


def test_a_line_that_moved_to_another_journal_is_the_same_line() -> None:
    moved = """
        ProjAdvancedJournal     901  ProjAdvancedJournalId=USPM-042 Status=1
        ProjAdvancedJournalLine 800  ProjAdvancedJournal=901 Status=
    """
    row = expense(UP_TO_STAGING + LINE_IMPORTED + moved)
    assert (standing(row), row["journal"]) == (("missing-journal-line", "error"), "USPM-042")


@pytest.mark.parametrize(
    "voucher",
    [f"msdyn_actual {ACTUAL} msdyn_externalreferenceid=PJ-1", "ProjCDSActualsImport 700 VoucherNumber=PJ-1"],
)
def test_a_voucher_on_either_side_proves_the_posting(voucher: str) -> None:
    assert standing(expense(UP_TO_STAGING + voucher)) == ("reconciled", None)


def test_an_approved_expense_is_shown_but_counts_nowhere() -> None:
    table = LEDGER + EXPENSE_POSTED + "TrvExpTrans 100 ApprovalStatus=3 Voucher="
    row = expense(table)
    assert (standing(row), parts(row)) == (("not-posted", None), ["0.00"] * 4)
    assert expenses(table, view="missing-actuals") == []
    assert expenses(LEDGER + EXPENSE_POSTED + "TrvExpTrans 100 ApprovalStatus=2 Voucher=") == []


# -- exclusions, the first that applies


@pytest.mark.parametrize(
    ("change", "excluded"),
    [
        ("TrvExpTrans 100 ProjId= ApprovalStatus=8", "no-project"),
        ("TrvExpTrans 100 ApprovalStatus=8 InterCompanyLE=gbpm", "cancelled"),
        (f"TrvExpTrans 100 InterCompanyLE=gbpm\nmsdyn_actual {ACTUAL} assumed_skipsync=true", "intercompany-cost"),
        (f"TrvExpTrans 100 InterCompanyLE=uspm\nmsdyn_actual {ACTUAL} assumed_skipsync=true", "skip-sync"),
    ],
)
def test_an_excluded_expense_says_the_first_reason_and_adds_nothing(change: str, excluded: str) -> None:
    row = expense(RECONCILED + change)
    assert (row["position"], row["excluded"], row["amount"]) == ("excluded", excluded, "100.00")
    assert parts(row) == ["0.00"] * 4


# -- vendor invoices


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("", "not-observed"),
        (f"msdyn_projectvendorinvoice {SECOND} statuscode=900000002", "not-confirmed"),
        (f"msdyn_projectvendorinvoice {HEADER} statuscode=900000000", "not-confirmed"),
        (
            f"msdyn_projectvendorinvoice {HEADER} statuscode=900000000 msdyn_enableautomaticconfirmation=false",
            "awaiting-manual-verification",
        ),
        (f"msdyn_projectvendorinvoice {HEADER} statuscode=900000003", "cancelled-in-dataverse"),
        (f"msdyn_projectvendorinvoice {HEADER} statuscode=900000002\n{ANOTHER_ACTUAL}", "no-actual-made"),
    ],
)
def test_why_a_vendor_invoice_line_has_no_actual(header: str, cause: str) -> None:
    row = invoice_line(LEDGER + INVOICE_POSTED + INVOICE_IN_DATAVERSE + header)
    assert (row["document"], row["voucher"], standing(row)) == ("USPM/PT9", "USPM-1100", ("missing-actual", cause))


def test_pending_rows_deleted_after_posting_still_link() -> None:
    gone = "VendInvoiceInfoLine 200 delete\nVendInvoiceInfoLine_Project 300 delete"
    assert invoice_line(LEDGER + INVOICE_POSTED + gone)["document"] == "USPM/PT9"


def test_whether_an_invoice_line_whose_pending_row_was_never_seen_has_a_project_is_unknown() -> None:
    never_seen = "\n".join(line for line in INVOICE_POSTED.splitlines() if "VendInvoiceInfoLine " not in line)
    row = invoice_line(LEDGER + never_seen)
    assert (row["document"], row["excluded"]) == ("USPM/500", "project-unknown")


# -- reversals


REVERSAL = f"""
    msdyn_transactionconnection {THIRD}   msdyn_transaction1={SECOND} msdyn_transaction1role=Reversing \
                                         msdyn_transaction2={ACTUAL} msdyn_transaction2role=Original
    msdyn_actual                {SECOND}  msdyn_transactiontypecode=192350000 msdyn_amount=-100.00 |USPM
"""
REVERSAL_IN_FINANCE = f"ProjCDSActualsImport 701 ActualId={SECOND} VoucherNumber=PJ-2\n"


def test_a_reversal_that_has_not_reached_finance_cancels_nothing_yet() -> None:
    row = expense(RECONCILED + REVERSAL)
    assert standing(row) == ("missing-actual", "actual-not-synced-back")
    assert parts(row) == ["-100.00", "0.00", "100.00", "100.00"]


def test_an_actual_and_its_reversal_cancel_and_leave_the_whole_amount_missing() -> None:
    row = expense(RECONCILED + REVERSAL + REVERSAL_IN_FINANCE)
    assert standing(row) == ("missing-actual", "actual-reversed")
    assert parts(row) == ["100.00", "0.00", "0.00", "0.00"]


def test_the_replacement_of_a_reversed_actual_is_judged_like_the_actual() -> None:
    replacement = f"""
        msdyn_transactionconnection {HEADER}  msdyn_transaction1={HEADER} msdyn_transaction1role=Replacing \
                                              msdyn_transaction2={ACTUAL} msdyn_transaction2role=Original
        msdyn_actual                {HEADER}  msdyn_transactiontypecode=192350000 msdyn_amount=90.00 |USPM
        ProjCDSActualsImport        702  ActualId={HEADER} ProjAdvancedJournalLine=0
    """
    row = expense(RECONCILED + REVERSAL + REVERSAL_IN_FINANCE + replacement)
    assert standing(row) == ("missing-journal-line", "not-imported")
    assert parts(row) == ["0.00", "90.00", "0.00", "10.00"]


# -- links follow the current values


def test_a_corrected_key_moves_the_record_to_its_document() -> None:
    two = LEDGER + EXPENSE_POSTED + EXPENSE_POSTED.replace("100  ", "101  ").replace("PT1", "PT2")
    wrong = two + EXPENSE_APPROVED + ANOTHER_ACTUAL
    assert [standing(row)[1] for row in expenses(wrong)] == ["no-actual-made", "not-synced-to-dataverse"]
    right = wrong + f"msdyn_expense {RECORD} assumed_externalexpenseid=pt2"
    assert [standing(row)[1] for row in expenses(right)] == ["not-synced-to-dataverse", "no-actual-made"]


def test_the_same_transaction_id_in_two_companies_is_two_documents() -> None:
    other = EXPENSE_POSTED.replace("TransDate=2025-01-08", "TransDate=2025-01-08 |GBPM")
    other = other.replace("100  ", "101  ").replace("USPM-463", "GBPM-1 |GBPM")
    table = LEDGER + EXPENSE_POSTED + other + EXPENSE_APPROVED + ANOTHER_ACTUAL
    assert standing(expense(table)) == ("missing-actual", "no-actual-made")
    (row,) = expenses(table, company="GBPM")
    assert standing(row) == ("missing-actual", "not-synced-to-dataverse")


def test_a_record_without_a_company_links_to_the_one_company_that_has_its_id() -> None:
    unscoped = EXPENSE_APPROVED.replace("|USPM", "") + ANOTHER_ACTUAL
    one_company = LEDGER + EXPENSE_POSTED + unscoped
    assert standing(expense(one_company)) == ("missing-actual", "no-actual-made")
    two_companies = one_company + "TrvExpTrans 101 ProjTransId=PT1 ProjId=P1 ApprovalStatus=6 |GBPM"
    for company in COMPANIES:
        (row,) = expenses(two_companies, company)
        assert standing(row) == ("missing-actual", "not-synced-to-dataverse")


def test_two_lines_with_one_transaction_id_do_not_share_the_actual() -> None:
    table = RECONCILED + EXPENSE_POSTED.replace("100  ", "101  ")
    assert [(row["document"], *standing(row)) for row in expenses(table)] == [
        ("USPM/101", "missing-actual", "not-synced-to-dataverse"),
        ("USPM/PT1", "reconciled", None),
    ]


def test_the_chain_of_a_document_leaves_out_headers_and_reference_data() -> None:
    assert NaiveModel(story(RECONCILED)).chains() == {
        frozenset(
            {
                ("TrvExpTrans", "100"),
                ("msdyn_expense", RECORD),
                ("msdyn_actual", ACTUAL),
                ("ProjCDSActualsImport", "700"),
                ("ProjAdvancedJournalLine", "800"),
            }
        )
    }


# -- merging


def test_a_delete_hides_what_is_older_and_a_later_upsert_starts_clean() -> None:
    table = LEDGER + EXPENSE_POSTED + "TrvExpTrans 100 delete\n"
    assert expenses(table) == []
    row = expense(table + "TrvExpTrans 100 Voucher=USPM-464 ProjId=P1")
    assert (row["document"], row["amount"], row["voucher"]) == ("USPM/100", None, "USPM-464")


def test_of_two_changes_at_the_same_time_the_higher_version_wins_whatever_comes_first() -> None:
    def events(first: int, second: int) -> list[Event]:
        posted = story(LEDGER + EXPENSE_POSTED)
        later = BEGINNING + timedelta(hours=1)
        for version, amount in ((first, "1.00"), (second, "2.00")):
            step = Step("finance", "TrvExpTrans", "100", {"AmountCurr": amount}, "USPM")
            posted.append(row_event(step, version, later, version))
        return posted

    for versions in ((3, 7), (7, 3)):
        (row,) = NaiveModel(events(*versions)).documents("USPM", EXPENSE)
        assert row["amount"] == ("2.00" if versions[1] == 7 else "1.00")


def test_a_row_that_says_when_it_was_modified_ranks_by_that() -> None:
    stale = f"msdyn_expense {RECORD} msdyn_expensestatus=192350001 modifiedon=2024-12-31T00:00:00Z\n"
    row = expense(LEDGER + EXPENSE_POSTED + EXPENSE_APPROVED + stale + ANOTHER_ACTUAL)
    assert row["cause"] == "no-actual-made"


# -- absence


@pytest.mark.parametrize(
    ("until", "cause"),
    [(timedelta(days=1), "not-synced-to-dataverse"), (timedelta(days=-1), "feed-silent")],
)
def test_an_absence_is_claimed_only_as_far_as_the_source_was_heard(until: timedelta, cause: str) -> None:
    events = [*story(LEDGER + EXPENSE_POSTED), heartbeat("dataverse", BEGINNING + until)]
    (row,) = NaiveModel(events).documents("USPM", EXPENSE)
    assert standing(row) == ("missing-actual", cause)


# -- money


def test_accounting_parts_add_up_to_the_cent() -> None:
    """33.33, 33.33 and 33.34 EUR, one at each step, at 110.55: 36.85 + 36.85 + 36.86 would be a cent too much."""
    table = f"""
        {LEDGER}
        TrvExpTrans   100  ProjTransId=PT1 ProjId=P1 ApprovalStatus=6 \
                           AmountCurr=100.00 ExchangeCode=EUR AmountMST=110.55
        {EXPENSE_APPROVED}
        msdyn_actual  {ACTUAL}  msdyn_transactiontypecode=192350000 msdyn_amount=33.33 assumed_sourcedocument={RECORD}
        msdyn_actual  {SECOND}  msdyn_transactiontypecode=192350000 msdyn_amount=33.33 assumed_sourcedocument={RECORD}
        msdyn_actual  {THIRD}   msdyn_transactiontypecode=192350000 msdyn_amount=33.34 assumed_sourcedocument={RECORD}
        ProjCDSActualsImport 701  ActualId={SECOND} ProjAdvancedJournalLine=0
        ProjCDSActualsImport 702  ActualId={THIRD} VoucherNumber=PJ-3
    """
    row = expense(table)
    assert parts(row) == ["33.33", "33.33", "33.34", "0.00"]
    assert row["accounting"] == {
        "amount": "110.55",
        "missing_actual": "36.85",
        "missing_journal_line": "36.85",
        "reconciled": "36.85",
        "difference": "0.00",
    }


def test_an_actual_in_another_currency_enters_through_its_accounting_amount() -> None:
    currencies = f"""
        transactioncurrency  {EUR}  isocurrencycode=EUR
        TrvExpTrans   100  ExchangeRate=100
        msdyn_actual  {ACTUAL}  transactioncurrencyid={EUR} msdyn_amount=90.00
    """
    row = expense(RECONCILED + currencies)
    assert (row["position"], row["amount"], row["reconciled"]) == ("reconciled", None, None)
    row = expense(RECONCILED + currencies + f"msdyn_actual {ACTUAL} assumed_accountingamount=99.00")
    assert parts(row) == ["0.00", "0.00", "99.00", "1.00"]


@pytest.mark.parametrize(("currency", "shown"), [("JPY", "100"), ("USD", "100.00"), ("KWD", "100.000")])
def test_amounts_are_written_with_the_decimals_of_their_currency(currency: str, shown: str) -> None:
    assert expense(LEDGER + EXPENSE_POSTED + f"TrvExpTrans 100 ExchangeCode={currency}")["amount"] == shown


def test_a_document_without_amount_has_a_position_too() -> None:
    table = RECONCILED.replace("100.00", "0.00")
    assert (standing(expense(table)), parts(expense(table))) == (("reconciled", None), ["0.00"] * 4)


# -- tiles and the window


def test_the_unreconciled_amount_is_the_sum_of_its_tiles() -> None:
    open_expense = EXPENSE_POSTED.replace("100  ", "101  ").replace("PT1", "PT2").replace("100.00", "40.00")
    not_imported = UP_TO_STAGING + open_expense
    summary = NaiveModel(story(not_imported)).summary("uspm", "2025-01-01", "2025-01-08")
    assert summary["tiles"]["expense_missing_actuals"] == {"amount": "40.00", "documents": 1}
    assert summary["tiles"]["expense_missing_journal_lines"] == {"amount": "100.00", "documents": 1}
    assert summary["unreconciled"]["expense"] == {"amount": "140.00", "documents": 2}
    assert summary["unreconciled"]["vendor_invoice"] == {"amount": "0.00", "documents": 0}
    later = NaiveModel(story(not_imported)).summary("USPM", "2025-01-09", "2025-01-31")
    assert later["unreconciled"]["expense"] == {"amount": "0.00", "documents": 0}


def test_an_actual_without_a_staging_row_is_not_synced_to_finance() -> None:
    table = f"""
        {LEDGER} {EXPENSE_POSTED} {EXPENSE_APPROVED} {ACTUAL_MADE}
        msdyn_actual  {SECOND}  msdyn_transactiontypecode=192350005 msdyn_amount=7.00 transactioncurrencyid={EUR} |USPM
        msdyn_actual  {THIRD}   msdyn_transactiontypecode=192350000 msdyn_amount=5.00 assumed_skipsync=true |USPM
        transactioncurrency  {EUR}  isocurrencycode=EUR
    """
    summary = NaiveModel(story(table)).summary("USPM")
    assert summary["not_synced_to_finance"] == {"amount": "100.00", "records": 2}


def test_the_window_begins_with_the_earliest_open_operating_period_of_two_years() -> None:
    calendar = """
        FiscalCalendarYear    10  FiscalCalendar=3 StartDate=2023-01-01 EndDate=2023-12-31
        FiscalCalendarYear    11  FiscalCalendar=3 StartDate=2024-01-01 EndDate=2024-12-31
        FiscalCalendarYear    12  FiscalCalendar=3 StartDate=2025-01-01 EndDate=2025-12-31
        FiscalCalendarPeriod  20  FiscalCalendarYear=10 StartDate=2023-12-01 Type=1
        FiscalCalendarPeriod  21  FiscalCalendarYear=11 StartDate=2024-01-01 Type=0
        FiscalCalendarPeriod  22  FiscalCalendarYear=11 StartDate=2024-02-01 Type=1
        FiscalCalendarPeriod  23  FiscalCalendarYear=11 StartDate=2024-03-01 Type=1
        FiscalCalendarPeriod  24  FiscalCalendarYear=12 StartDate=2025-01-01 Type=1
        LedgerFiscalCalendarPeriod  30  Ledger=2 FiscalCalendarPeriod=20 Status=1
        LedgerFiscalCalendarPeriod  31  Ledger=2 FiscalCalendarPeriod=21 Status=1
        LedgerFiscalCalendarPeriod  32  Ledger=2 FiscalCalendarPeriod=22 Status=2
        LedgerFiscalCalendarPeriod  33  Ledger=2 FiscalCalendarPeriod=23 Status=1
        LedgerFiscalCalendarPeriod  34  Ledger=2 FiscalCalendarPeriod=24 Status=1
    """
    model = NaiveModel(story(LEDGER + calendar))
    assert model.window("USPM", "2025-01-08") == (date(2024, 3, 1), date(2025, 1, 8))
    assert model.window("GBPM", "2025-01-08") is None


# -- what must hold for every history


@settings(max_examples=examples(50), deadline=None)
@given(st.data())
def test_the_model_does_not_see_the_order_of_events(data: st.DataObject) -> None:
    events = data.draw(histories(max_documents=3))
    one, two = NaiveModel(events), NaiveModel(data.draw(deliveries(events)))
    assert one.chains() == two.chains()
    for company in COMPANIES:
        assert one.summary(company) == two.summary(company)
        for kind in (EXPENSE, INVOICE_LINE):
            assert one.documents(company, kind) == two.documents(company, kind)


@settings(max_examples=examples(50), deadline=None)
@given(histories())
def test_parts_add_up_and_tiles_are_sums_of_rows(events: list[Event]) -> None:
    model = NaiveModel(events)
    for company in COMPANIES:
        for kind, name in ((EXPENSE, "expense"), (INVOICE_LINE, "vendor_invoice")):
            rows = model.documents(company, kind)
            assert len({row["document"] for row in rows}) == len(rows)
            counted = [row for row in rows if row["position"] not in ("excluded", "not-posted")]
            for row in counted:
                for amounts in (row, row["accounting"]):
                    if None not in (amounts["amount"], *parts(amounts)) and Decimal(row["amount"]):
                        assert Decimal(amounts["amount"]) == sum(map(Decimal, parts(amounts)))
            summary = model.summary(company)
            tiles = [summary["tiles"][f"{name}_missing_{part}"] for part in ("actuals", "journal_lines")]
            expected = sum(Decimal(tile["amount"]) for tile in tiles)
            assert Decimal(summary["unreconciled"][name]["amount"]) == expected
