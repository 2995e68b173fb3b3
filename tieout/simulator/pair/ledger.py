"""The ledger of the pair: entries on the two integration accounts, for what Finance posts.

Posting a document debits its integration account, posting an integration journal credits it. A voucher may hold several
documents, and an invoice has one voucher for all its lines. Entries of what was posted before the pair starts are there
without events; later ones are sent if the pair sends ledger events.
"""

from datetime import date, datetime
from decimal import Decimal
from itertools import count

from tieout.simulator.amounts import rounded
from tieout.simulator.company_story import CompanyScenario
from tieout.simulator.expenses import CANCELLED, LEDGER
from tieout.simulator.integration_journal import COST, EXPENSE, POSTED
from tieout.simulator.pair.change_feed import ChangeFeed
from tieout.simulator.pair.current_rows import SimulatedRow
from tieout.simulator.pair.dual_write import DocumentProcesses
from tieout.simulator.reference import CLOSING, OPENING, OPERATING
from tieout.simulator.scenario import Columns, SimulatedEvent
from tieout.simulator.small import UNTIL

EXPENSE_ACCOUNT, PROCUREMENT_ACCOUNT = "605180", "605190"
"""The integration accounts, as `ProjParameters` names them."""
OTHER_ACCOUNT = "110180"
"""The account of every other side."""

ACCOUNTS = {
    EXPENSE_ACCOUNT: "Expense integration account",
    PROCUREMENT_ACCOUNT: "Procurement integration account",
    OTHER_ACCOUNT: "Bank account",
}
CURRENT, TAX = 0, 2
"""Posting layers."""
_CHART = 5637144650
_PROJECT_COST, _PURCHASE = 14, 71


def ledger_events(scenario: CompanyScenario) -> list[SimulatedEvent]:
    """Return the ledger of what a company's story has posted, as events. The events of the story must be taken before:
    its recorder is empty afterwards.
    """
    events: list[SimulatedEvent] = []
    feed = ChangeFeed(scenario, lambda: UNTIL, events.append)
    LedgerBooks(feed, DocumentProcesses(feed)).send()
    return events


class LedgerBooks:
    """The ledger of every company of a pair. With `sends_events`, new entries are sent as events."""

    def __init__(self, feed: ChangeFeed, documents: DocumentProcesses, *, sends_events: bool = False) -> None:
        self._feed = feed
        self._documents = documents
        self._journals = count(1)
        self._accounts: dict[str, int] = {}
        self.sends_events = False
        for number, name in ACCOUNTS.items():
            record = self._accounts[number] = feed.recorder.record_id("MainAccount")
            columns: Columns = {"MainAccountId": number, "Name": name, "LedgerChartOfAccounts": _CHART}
            self._add("MainAccount", record, columns, UNTIL)
        self._post_what_is_posted()
        self.sends_events = sends_events

    # --- what Finance posts -------------------------------------------------------------------------------------------

    def post_lines(self, lines: list[SimulatedRow]) -> None:
        """Credit the integration accounts with these journal lines, as far as they are posted cost."""
        for line in lines:
            if line.text("Status") == str(POSTED):
                self._credit(line, self._feed.start_time())
        self._feed.flush()

    def post(
        self,
        company: str,
        account: str,
        amount: Decimal,
        voucher: str,
        day: date,
        *,
        layer: int = CURRENT,
        period_type: int = OPERATING,
    ) -> str:
        """Post a manual journal of an account (a debit is positive) and another one. Returns the RecId of the entry."""
        entry = self._voucher(
            company, voucher, day, {account: amount}, self._feed.start_time(), layer=layer, period_type=period_type
        )
        self._feed.flush()
        return str(entry)

    def close_year(self, company: str, year: int) -> None:
        """Close a year: the balance of each account is taken out in the closing period, and brought forward in the
        opening period of the next year.
        """
        last, first = date(year, 12, 31), date(year + 1, 1, 1)
        for account in (EXPENSE_ACCOUNT, PROCUREMENT_ACCOUNT):
            if balance := self.balance(company, account, until=last):
                voucher = f"{company}-CLOSE-{year}-{account}"
                self.post(company, account, -balance, voucher, last, period_type=CLOSING)
                self.post(company, account, balance, voucher, first, period_type=OPENING)

    def send(self) -> None:
        """Send the rows of the ledger that no event has named yet, at the times of their postings."""
        for entity in ("MainAccount", "GeneralJournalEntry", "GeneralJournalAccountEntry"):
            for row in list(self._feed.tables[entity].rows.values()):
                if self._feed.recorder.last_change(entity, row.id) is None:
                    columns = {name: value for name, value in row.columns.items() if name != "RecId"}
                    self._feed.recorder.finance_changed(entity, int(row.id), row.changed, columns)
        self._feed.flush()

    def balance(self, company: str, account: str, until: date = date.max) -> Decimal:
        """Return the balance of an account: its entries of layer Current and of operating periods."""
        ledger = self._feed.ledger(company)
        headers = {
            row.id
            for row in self._feed.tables["GeneralJournalEntry"].rows.values()
            if row.text("Ledger") == (ledger.id if ledger else "")
            and row.text("PostingLayer") == str(CURRENT)
            and row.text("AccountingDate") <= until.isoformat()
            and self._type_of(row.text("FiscalCalendarPeriod")) == OPERATING
        }
        entries = self._feed.tables["GeneralJournalAccountEntry"].rows.values()
        return sum(
            (
                Decimal(row.text("AccountingCurrencyAmount"))
                for row in entries
                if row.text("GeneralJournalEntry") in headers
                and row.text("MainAccount") == str(self._accounts[account])
            ),
            Decimal(0),
        )

    # --- from rows to entries -----------------------------------------------------------------------------------------

    def _post_what_is_posted(self) -> None:
        tables = self._feed.tables
        for row in list(tables["TrvExpTrans"].rows.values()):
            self._debit_expense(row)
        for row in list(tables["VendInvoiceJour"].rows.values()):
            self._debit_invoice(row)
        for line in list(tables["ProjAdvancedJournalLine"].rows.values()):
            if line.text("Status") == str(POSTED):
                self._credit(line, line.changed)

    def _debit_expense(self, row: SimulatedRow) -> None:
        """Post an expense; the entry of one without a voucher has none either."""
        line, lender = self._feed.expense_line(row), row.company or ""
        posted = line.voucher or row.text("ApprovalStatus") == str(LEDGER)
        if not posted or not line.project or line.charged_to not in ("", lender):
            return
        gross = Decimal(row.text("AmountCurr"))
        booked = line.accounting(line.amount)
        if row.text("AmountMST") and gross and line.currency != line.accounting_currency:
            # Recoverable tax goes to an account of its own.
            booked = rounded(Decimal(row.text("AmountMST")) * line.amount / gross, line.accounting_currency)
        self._voucher(lender, line.voucher, line.date, {EXPENSE_ACCOUNT: booked}, row.changed)
        if row.text("ApprovalStatus") == str(CANCELLED):
            self._voucher(lender, line.voucher, line.date, {EXPENSE_ACCOUNT: -booked}, row.changed)

    def _debit_invoice(self, header: SimulatedRow) -> None:
        company, total = header.company or "", Decimal(0)
        for row in self._feed.tables.where("VendInvoiceTrans", "InvoiceId", header.text("InvoiceId")):
            if row.company == company and row.text("InvoiceDate") == header.text("InvoiceDate"):
                extension = self._documents.extension(row)
                if extension and extension.text("ProjDataAreaId").upper() == company:
                    local = row.text("CurrencyCode") == self._feed.accounting_currency(company)
                    total += Decimal(row.text("LineAmount" if local else "LineAmountMST"))
        if total:
            day = date.fromisoformat(header.text("InvoiceDate"))
            self._voucher(company, header.text("LedgerVoucher"), day, {PROCUREMENT_ACCOUNT: total}, header.changed)

    def _credit(self, line: SimulatedRow, at: datetime) -> None:
        """Post a journal line; one that no staging row names is of unknown type, and of no account here."""
        for staging in self._feed.tables.where("ProjCDSActualsImport", "ProjAdvancedJournalLine", line.id):
            actual = self._feed.actual_of(staging)
            row = self._feed.tables.row("msdyn_actual", actual.row)
            if row is None or actual.kind != COST:
                continue
            expense = row.text("msdyn_transactionclassification") == str(EXPENSE)
            account = EXPENSE_ACCOUNT if expense else PROCUREMENT_ACCOUNT
            amount = Decimal(staging.text("AccountingAmount") or str(actual.accounting))
            day = date.fromisoformat(line.text("AccountingDate"))
            self._voucher(line.company or "", line.text("Voucher"), day, {account: -amount}, at)
            return

    def _voucher(
        self,
        company: str,
        voucher: str,
        day: date,
        amounts: dict[str, Decimal],
        at: datetime,
        *,
        layer: int = CURRENT,
        period_type: int = OPERATING,
    ) -> int:
        """Post amounts by account, and the other side. Returns the RecId of the first entry."""
        ledger = self._feed.ledger(company)
        header = self._feed.recorder.record_id("GeneralJournalEntry")
        columns: Columns = {
            "Ledger": int(ledger.id) if ledger else 0,
            "AccountingDate": day.isoformat(),
            "DocumentDate": day.isoformat(),
            "SubledgerVoucher": voucher,
            "SubledgerVoucherDataAreaId": company.lower(),
            "JournalNumber": f"{next(self._journals):06d}_010",
            "PostingLayer": layer,
            "FiscalCalendarPeriod": int(self._period(day, period_type)),
        }
        self._add("GeneralJournalEntry", header, columns, at)
        sides = {**amounts, OTHER_ACCOUNT: -sum(amounts.values(), Decimal(0))}
        first, *_ = [self._entry(header, company, account, amount, at) for account, amount in sides.items()]
        return first

    def _entry(self, header: int, company: str, account: str, amount: Decimal, at: datetime) -> int:
        record = self._feed.recorder.record_id("GeneralJournalAccountEntry")
        columns: Columns = {
            "GeneralJournalEntry": header,
            "MainAccount": self._accounts[account],
            "LedgerAccount": f"{account}-023-OU_1",
            "AccountingCurrencyAmount": f"{amount:.2f}",
            "TransactionCurrencyAmount": f"{amount:.2f}",
            "TransactionCurrencyCode": self._feed.accounting_currency(company),
            "IsCredit": int(amount < 0),
            "PostingType": _PURCHASE if amount > 0 else _PROJECT_COST,
        }
        self._add("GeneralJournalAccountEntry", record, columns, at)
        return record

    def _add(self, entity: str, record: int, columns: Columns, at: datetime) -> None:
        if self.sends_events:
            self._feed.recorder.finance_changed(entity, record, at, columns)
        else:
            row = SimulatedRow(entity, str(record), {"RecId": record, **columns}, 1, at)
            self._feed.tables[entity].rows[row.id] = row

    def _period(self, day: date, period_type: int) -> str:
        for row in self._feed.tables["FiscalCalendarPeriod"].rows.values():
            within = row.text("StartDate") <= day.isoformat() <= row.text("EndDate")
            if within and row.text("Type") == str(period_type):
                return row.id
        return "0"

    def _type_of(self, period: str) -> int:
        row = self._feed.tables.row("FiscalCalendarPeriod", period)
        return int(row.text("Type")) if row else OPERATING
