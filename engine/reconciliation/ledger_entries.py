"""Entries of the ledger on the integration accounts, as rows of one table (R87).

An entry (`GeneralJournalAccountEntry`) names its header (`GeneralJournalEntry`: voucher, date, ledger, layer, period)
and its main account (`MainAccount`) by their ids. It counts once both are known, whatever the order of arrival; until
then it says what it lacks. Nothing is guessed: an entry that may be one of the account is never left out silently.

The data entity of the same name has voucher, date and layer in each row and no header; its account is the display value
`LedgerAccount`, which begins with the main account.
"""

from typing import Final, Literal

import msgspec

from engine.chains.records import Row
from engine.chains.references import ReferenceData, resolve_reference
from engine.reconciliation.ledger_accounts import LedgerAccount, LedgerAccounts

Lacking = Literal["", "header", "main-account", "layer", "period", "company", "amount"]
"""What an entry lacks to be counted; empty if nothing."""


class LedgerEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry of the ledger on an integration account, or one that may be one (`lacks`).

    `key` is its record key. `account` is empty while the main account or the company is not known, and so is each other
    text. `number` is that of the main account, `date` the accounting date, `currency` the accounting currency of the
    ledger, `amount` the signed amount in it, in units of 1/10000: a debit is positive. `operating` is 0 if nothing says
    whether the entry is one of a year-end close, which repeats balances: its header names no period.
    """

    key: str
    company: str
    account: LedgerAccount | Literal[""]
    lacks: Lacking
    number: str
    voucher: str
    date: str
    currency: str
    amount: int | None
    journal: str
    operating: int


def ledger_entry(row: Row, references: ReferenceData, accounts: LedgerAccounts) -> LedgerEntry | None:
    """Return the entry of a row; None if it is none of the integration accounts, of another posting layer than Current,
    or of an opening or closing period.
    """
    if not accounts:
        return None
    header = resolve_reference(references, row, "header")
    # A row that names a header has no voucher of its own.
    source = row if row["header"] is None else header
    company = _company(row, header, references)
    number = _number(row, references, accounts)
    account = accounts.account(company, number) if company and number else None
    if source is None or not company:
        # Its header may name another company.
        relevant = number is None or number in accounts.numbers
    else:
        relevant = account is not None or (number is None and any(accounts.of(company)))
    if not relevant:
        return None
    if source is not None and (source["layer"] == "other" or _period_type(source, references) in _REPEATING):
        return None
    return LedgerEntry(
        row.key,
        company,
        account or "",
        _lacking(row, source, number, company, references),
        number or "",
        _text(source, "voucher"),
        _text(source, "date"),
        _currency(header, company, references),
        row["amount"],
        _text(source, "journal"),
        int(source is not None and source["period"] is not None),
    )


_REPEATING: Final = ("opening", "closing")
"""The types of periods whose entries repeat the balances of others."""


def _lacking(row: Row, source: Row | None, number: str | None, company: str, references: ReferenceData) -> Lacking:
    """Return what an entry lacks. A layer that no event names is Current, the layer of every ordinary posting."""
    if source is None:
        return "header"
    if number is None:
        return "main-account"
    if any(field == "layer" for field, *_ in source.misfits):
        return "layer"
    if source["period"] is not None and _period_type(source, references) is None:
        return "period"
    if not company:
        return "company"
    return "amount" if row["amount"] is None else ""


def _text(source: Row | None, field: str) -> str:
    return "" if source is None or source[field] is None else str(source[field])


def _period_type(source: Row, references: ReferenceData) -> str | None:
    period = source["period"]
    return None if period is None else references.directory.period_types.get(period)


def _company(row: Row, header: Row | None, references: ReferenceData) -> str:
    """Return the company whose ledger the entry is in: that of the ledger, else of the voucher, else of the row."""
    if header is not None:
        ledger = references.directory.ledgers.get(header["ledger"] or "")
        if ledger is not None and ledger[0]:
            return ledger[0]
    named = None if header is None else header["voucher_company"] or header.company
    return named or row["data_area"] or row.company or ""


def _currency(header: Row | None, company: str, references: ReferenceData) -> str:
    ledger = None if header is None else references.directory.ledgers.get(header["ledger"] or "")
    if ledger is not None and ledger[1]:
        return ledger[1]
    known = references.directory.company(company)
    return (known and known.currency) or ""


def _number(row: Row, references: ReferenceData, accounts: LedgerAccounts) -> str | None:
    """Return the number of the main account, in upper case; None while it is not known.

    `""` is a main account that is none of the accounts, whatever its number.
    """
    account = resolve_reference(references, row, "account")
    if account is not None and account["number"]:
        return str(account["number"]).upper()
    if row["number"] is not None:
        return str(row["number"]).upper()
    display = None if row["display"] is None else str(row["display"]).upper()
    if display is not None:
        named = accounts.numbers
        if not any(number in display for number in named):
            # The main account is a part of the display value, so it is none of those.
            return ""
        if row["account"] is None:
            return next((number for number in sorted(named, key=len, reverse=True) if _begins(display, number)), "")
    return None


def _begins(display: str, number: str) -> bool:
    """Return True if a number is the first segment of a display value such as `160500-023-OU_1`."""
    return display == number or (display.startswith(number) and not display[len(number)].isalnum())
