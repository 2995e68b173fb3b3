"""The main accounts of the ledger that are the integration accounts, as the settings or Finance's posting set-up name
them.

The settings are `TIEOUT_EXPENSE_ACCOUNT` and `TIEOUT_PROCUREMENT_ACCOUNT`, each one or several of `NUMBER`, for every
company, and `COMPANY=NUMBER`. A company with numbers of its own has only those. The posting set-up of a company applies
to an account for which the settings name none.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

LedgerAccount = Literal["expense", "vendor-invoice-line", "both"]
"""The integration account that a main account is: that of a kind of document, or of both."""

EVERY_COMPANY: Final = ""
"""The key of the numbers of every company without numbers of its own."""

_WRITTEN: Final = re.compile(r"(?:(?P<company>\w{1,20})=)?(?P<number>[^\s=,]{1,50})")

Numbers = dict[str, frozenset[str]]
"""Numbers of main accounts, in upper case, by company."""


PostingSetup = Mapping[str, tuple[str | None, str | None]]
"""The main accounts of expenses and of vendor invoices that Finance's posting set-up names, by company."""


class LedgerAccounts(msgspec.Struct, frozen=True):
    """The main accounts of the expense and of the vendor invoice integration account, by company."""

    expense: Numbers = {}
    vendor_invoice: Numbers = {}

    def __bool__(self) -> bool:
        """Return True if any main account is named: otherwise no entry of the ledger is read."""
        return bool(self.expense or self.vendor_invoice)

    @property
    def numbers(self) -> frozenset[str]:
        """Every number, of any company."""
        return frozenset().union(*self.expense.values(), *self.vendor_invoice.values())

    @property
    def companies(self) -> frozenset[str]:
        """The companies that are named."""
        return frozenset((self.expense.keys() | self.vendor_invoice.keys()) - {EVERY_COMPANY})

    @property
    def selection(self) -> str:
        """The numbers in one text: what a poller that reads their entries has read."""
        return ",".join(sorted(self.numbers))

    def of(self, company: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return the numbers of the two accounts of a company; empty if none is named."""
        return _of(self.expense, company), _of(self.vendor_invoice, company)

    def account(self, company: str, number: str) -> LedgerAccount | None:
        """Return which account of a company a main account is; None if it is neither."""
        expense, vendor_invoice = (number in numbers for numbers in self.of(company))
        if expense and vendor_invoice:
            return "both"
        return "expense" if expense else "vendor-invoice-line" if vendor_invoice else None

    def is_shared(self, company: str) -> bool:
        """Return True if a main account of a company serves both kinds: what it holds is then in no account alone."""
        expense, vendor_invoice = self.of(company)
        return not expense.isdisjoint(vendor_invoice)

    def with_posting_setup(self, setup: PostingSetup) -> "LedgerAccounts":
        """Return the accounts, completed by those of the posting set-up."""
        if not setup:
            return self
        expense = {company: number for company, (number, _) in setup.items()}
        vendor_invoice = {company: number for company, (_, number) in setup.items()}
        return LedgerAccounts(_completed(self.expense, expense), _completed(self.vendor_invoice, vendor_invoice))

    def as_text(self) -> str:
        """Return the accounts as one text, the same for the same accounts; `none` without any."""
        kinds = (("expense", self.expense), ("procurement", self.vendor_invoice))
        return "; ".join(f"{name} {_written(numbers)}" for name, numbers in kinds if numbers) or "none"


NO_ACCOUNTS: Final = LedgerAccounts()
"""The ledger is not read."""


def read_numbers(written: Iterable[str]) -> Numbers:
    """Return the numbers of a setting. Raises `ValueError` with the entry that is neither NUMBER nor COMPANY=NUMBER."""
    found: dict[str, set[str]] = {}
    for entry in written:
        match = _WRITTEN.fullmatch(entry)
        if match is None:
            raise ValueError(entry)
        found.setdefault((match["company"] or EVERY_COMPANY).upper(), set()).add(match["number"].upper())
    return {company: frozenset(numbers) for company, numbers in found.items()}


def _completed(numbers: Numbers, setup: Mapping[str, str | None]) -> Numbers:
    if EVERY_COMPANY in numbers:
        return numbers
    return {**{company: frozenset([number.upper()]) for company, number in setup.items() if number}, **numbers}


def _written(numbers: Numbers) -> str:
    """Return the numbers as a setting names them."""
    entries = [(company, number) for company, own in numbers.items() for number in own]
    return ", ".join(f"{company}={number}" if company else number for company, number in sorted(entries))


def _of(numbers: Numbers, company: str) -> frozenset[str]:
    found = numbers.get(company)
    return numbers.get(EVERY_COMPANY, frozenset()) if found is None else found
