"""The questions to a snapshot about the integration accounts and the ledger."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final, cast

import msgspec
from sqlalchemy import Connection

from engine.calendar import Company, Window
from engine.chains.references import Directory
from engine.mapping.compiler import Maps
from engine.reconciliation.account import PartName
from engine.reconciliation.documents import Chain, Document, Finding
from engine.reconciliation.kinds import KINDS, Kind
from engine.reconciliation.ledger_accounts import LedgerAccounts
from store.operational.ledger_balances import BalanceAccount, KeptBalance, history, latest
from store.queries import account, ledger, roll_forward
from store.queries.account import TOGETHER, AccountParts, PartRow
from store.queries.findings import LooseFinding, ledger_findings, voucher_finding
from store.queries.ledger import LedgerAccountName, LedgerBalance
from store.queries.ledger_comparison import LedgerParts, Scope, compare, has_entries, ledger_parts
from store.queries.roll_forward import PeriodMovement

_CODE_OF: Final[dict[str, str]] = {**{kind.summary_name: code for code, kind in KINDS.items()}, "together": TOGETHER}
"""The name of an account among the parts, by that in the ledger."""

CODES: Final[dict[BalanceAccount, str]] = {account: _CODE_OF[name] for name, account in ledger.KEPT.items()}
"""The name of an account among the parts, by that of a kept balance."""


class ComparedBalance(msgspec.Struct, frozen=True):
    """A balance of the ledger that a person entered, and what is explained of it at the end of its day."""

    balance: KeptBalance
    explained: int

    @property
    def unexplained(self) -> int:
        """What the ledger had beyond what is explained."""
        return self.balance.amount - self.explained


def _known_since(balance: LedgerBalance) -> str | None:
    """Return the first day of which all entries of an account are known; '' for any day, None if no entry is."""
    if balance.opening is not None:
        return (date.fromisoformat(balance.opening.date) + timedelta(days=1)).isoformat()
    if balance.amount is not None:
        return ""
    return None if balance.unknown in ("no-account", "not-in-chart") else balance.known_from


class AccountQueries:
    """The part of `store.queries.snapshot.Snapshot` about the integration accounts."""

    _connection: Connection
    _maps: Maps
    _accounts: LedgerAccounts
    _ledgers: dict[str, LedgerParts | None]
    """The comparison with the ledger by company, each made once."""
    _ledger_balances: dict[str, dict[LedgerAccountName, LedgerBalance]]
    """The balances of the accounts by company, each asked for once."""

    @property
    def directory(self) -> Directory:
        """Companies, currencies and calendars."""
        raise NotImplementedError

    def today(self, company: Company) -> date:
        """Return the date of a company."""
        raise NotImplementedError

    def account_parts(self, company: Company, window: Window | None = None) -> AccountParts:
        """Return the parts of the integration accounts of a company."""
        return account.account_parts(self._connection, company, window, self._ledger_parts(company))

    def _ledger_parts(self, company: Company) -> LedgerParts | None:
        if company.code not in self._ledgers:
            self._ledgers[company.code] = ledger_parts(self._connection, company.code, self._scope(company))
        return self._ledgers[company.code]

    def _scope(self, company: Company) -> Scope:
        """Return what of the ledger of a company is known."""
        found = self.ledger_balances(company)
        if any(balance.unknown == "shared" for balance in found.values()):
            since = {"both": _known_since(found["together"])}
        else:
            since = {_CODE_OF[name]: _known_since(balance) for name, balance in found.items() if name != "together"}
        return Scope({code: day for code, day in since.items() if day is not None}, company.currency)

    def ledger_findings(self, company: Company) -> Iterator[LooseFinding]:
        """Yield the vouchers that differ from the ledger as findings, those that are listed."""
        parts = self._ledger_parts(company)
        differing = parts.differing if parts is not None else []
        return ledger_findings(self._connection, company.code, company.currency, differing)

    def _voucher_findings(self, chain: Chain, document: Document) -> list[Finding]:
        """Return a finding for each voucher of a document that differs from the ledger: of its posting, and of the
        postings that it counts.
        """
        named = [posting.voucher for posting in chain.postings if posting.document == document.key]
        vouchers = {voucher for voucher in (document.voucher, *named) if voucher}
        company = self.directory.company(document.company)
        if company is None or not vouchers or not has_entries(self._connection, company.code):
            return []
        found = compare(self._connection, company.code, self._scope(company), vouchers)
        return [voucher_finding(document, one) for one in found if one.computed is not None]

    def ledger_balances(self, company: Company) -> dict[LedgerAccountName, LedgerBalance]:
        """Return the balance of each account in the ledger, as far as it is known."""
        if company.code not in self._ledger_balances:
            named = self._accounts.with_posting_setup(self.directory.posting_setup)
            found = ledger.balances(self._connection, company.code, named, self._maps, company.currency)
            self._ledger_balances[company.code] = found
        return self._ledger_balances[company.code]

    def part_rows(
        self,
        company: Company,
        window: Window | None,
        part: PartName,
        kind: Kind | None = None,
        after: str | None = None,
    ) -> Iterator[PartRow]:
        """Yield what a part consists of, beyond the place `after`."""
        return account.part_rows(self._connection, company, window, part, kind, after)

    def excluded_rows(
        self, company: Company, reason: str, kind: Kind | None = None, after: str | None = None
    ) -> Iterator[PartRow]:
        """Yield the posted documents that are excluded for a reason."""
        return account.excluded_rows(self._connection, company, reason, kind, after)

    def booked_rows(
        self, company: Company, month: str, kind: Kind | None = None, after: str | None = None
    ) -> Iterator[PartRow]:
        """Yield the documents that were booked in a month of the roll-forward."""
        return account.booked_rows(self._connection, company, month, kind, after)

    def cleared_rows(
        self, company: Company, month: str, kind: Kind | None = None, after: str | None = None
    ) -> Iterator[PartRow]:
        """Yield the postings that cleared in a month of the roll-forward."""
        return account.cleared_rows(self._connection, company, month, kind, after)

    def roll_forward(self, company: Company, kind: Kind | None = None) -> list[PeriodMovement]:
        """Return what was booked and cleared by month."""
        return roll_forward.roll_forward(self._connection, company, kind, self._ledger_parts(company))

    def compared(self, company: Company, balances: Sequence[KeptBalance]) -> list[ComparedBalance]:
        """Compare balances with what is explained at the end of their days; of today, with all that is explained."""
        today, ledger_parts = self.today(company).isoformat(), self._ledger_parts(company)
        explained: dict[tuple[str, str], int] = {}
        for name in {balance.account for balance in balances}:
            code = CODES[name]
            days = {balance.date for balance in balances if balance.account == name}
            past = {day for day in days if day < today}
            closings = roll_forward.closings(
                self._connection, company, past, cast("Kind | None", code or None), ledger_parts
            )
            now = self.account_parts(company).accounts[code].explained if days - past else 0
            explained |= {(name, day): closings.get(day, now) for day in days}
        return [ComparedBalance(balance, explained[balance.account, balance.date]) for balance in balances]

    def kept_balances(self, company: Company) -> list[ComparedBalance]:
        """Return the balances that people entered, the one entered last first, each compared."""
        return self.compared(company, history(self._connection, company.code))

    def balances(self, company: Company) -> dict[str, LedgerBalance]:
        """Return the ledger balances by the code of the kind, '' for both accounts together.

        Where no main account is named, it is the balance that a person entered today.
        """
        balances: dict[str, LedgerBalance] = {}
        for name, balance in self.ledger_balances(company).items():
            kept = (
                latest(self._connection, company.code, ledger.KEPT[name]) if balance.unknown == "no-account" else None
            )
            if kept is not None and kept.date == self.today(company).isoformat():
                balance = msgspec.structs.replace(balance, amount=kept.amount, unknown=None)
            balances[_CODE_OF[name]] = balance
        return balances
