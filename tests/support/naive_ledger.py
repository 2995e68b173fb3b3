"""The ledger of the integration accounts as a naive model computes it, from all changes at once.

Written from the requirements without the engine: rows are merged anew, and every entry looks for its header and main
account among them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.events.facts import Change
from tests.support.naive_values import choice, code, money, row_id, text

Row = dict[str, Any]


class NaiveLedger:
    """Sums by company, account and voucher of the entries that count, and how many lack what."""

    def __init__(self, changes: Iterable[Change], expense: set[str], procurement: set[str]) -> None:
        self.sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        self.lacking: Counter[str] = Counter()
        self._rows = _merged(changes)
        self._named = {"expense": expense, "vendor-invoice-line": procurement}
        for row in self._all("GeneralJournalAccountEntry"):
            self._read(row)

    def _read(self, row: Row) -> None:
        pointed = row_id(row.get("GeneralJournalEntry"))
        header = self._find("GeneralJournalEntry", pointed) if pointed else row
        number = self._number(row)
        accounts = [account for account, named in self._named.items() if number in named]
        if number is not None and not accounts:
            return
        if header is None:
            self.lacking["header"] += 1
            return
        layer, period = header.get("PostingLayer"), row_id(header.get("FiscalCalendarPeriod"))
        kind = self._period_type(period)
        if choice(layer) in (1, 2) or kind in (0, 2):
            return
        company = self._company(row, header)
        amount = money(row.get("AccountingCurrencyAmount"))
        if number is None:
            self.lacking["main-account"] += 1
        elif layer is not None and choice(layer) != 0:
            self.lacking["layer"] += 1
        elif period and kind is None:
            self.lacking["period"] += 1
        elif company is None:
            self.lacking["company"] += 1
        elif amount is None:
            self.lacking["amount"] += 1
        else:
            account = accounts[0] if len(accounts) == 1 else "both"
            voucher = header.get("SubledgerVoucher" if pointed else "Voucher") or header.get("SubledgerVoucher")
            self.sums[company, account, text(voucher) or ""] += amount

    def _number(self, row: Row) -> str | None:
        """The number of the main account; `other` for one that is none of the named, None while it is not known."""
        pointed = row_id(row.get("MainAccount"))
        account = self._find("MainAccount", pointed) if pointed else None
        if account and (number := code(account.get("MainAccountId"))):
            return number
        shown = code(row.get("LedgerAccount"))
        if shown is None:
            return None
        named = set().union(*self._named.values())
        if not any(number in shown for number in named):
            return "other"
        if pointed:
            return None
        return next((number for number in named if shown.split("-")[0] == number), "other")

    def _company(self, row: Row, header: Row) -> str | None:
        ledger = self._find("Ledger", row_id(header.get("Ledger")))
        owner = self._find("CompanyInfo", row_id(ledger.get("PrimaryForLegalEntity"))) if ledger else None
        named = (code(owner.get("DataArea")) if owner else None, code(header.get("SubledgerVoucherDataAreaId")))
        return next((company for company in (*named, code(row.get("DataArea"))) if company), None)

    def _period_type(self, period: str | None) -> int | None:
        row = self._find("FiscalCalendarPeriod", period)
        return choice(row.get("Type")) if row else None

    def _all(self, entity: str) -> list[Row]:
        return [row for (other, _), row in self._rows.items() if other == entity]

    def _find(self, entity: str, row: str | None) -> Row | None:
        return self._rows.get((entity, row)) if row else None


def _merged(changes: Iterable[Change]) -> dict[tuple[str, str], Row]:
    """The rows that exist after all changes: of each column the value of the latest, after the last delete."""
    rows: dict[tuple[str, str], Row] = {}
    for change in sorted(changes, key=lambda change: change.evidence.precedence):
        if change.operation == "delete":
            rows.pop((change.entity, change.id), None)
        else:
            rows.setdefault((change.entity, change.id), {}).update(change.columns)
    return rows
