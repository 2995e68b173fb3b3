"""The questions to a snapshot about the integration accounts and the ledger."""

from collections.abc import Iterator
from datetime import date

from sqlalchemy import Connection

from engine.calendar import Company, Window
from engine.chains.references import Directory
from engine.mapping.compiler import Maps
from engine.reconciliation.account import PartName, UnknownBalance
from engine.reconciliation.kinds import KINDS, Kind
from engine.reconciliation.ledger_accounts import LedgerAccounts
from store.operational.ledger_balances import latest
from store.queries import account, ledger
from store.queries.account import TOGETHER, AccountParts, PartRow, PeriodMovement
from store.queries.ledger import LedgerAccountName, LedgerBalance
from store.queries.ledger_comparison import LedgerParts, ledger_parts


class AccountQueries:
    """The part of `store.queries.snapshot.Snapshot` about the integration accounts."""

    _connection: Connection
    _maps: Maps
    _accounts: LedgerAccounts
    _ledgers: dict[str, LedgerParts | None]
    """The comparison with the ledger by company, each made once."""

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
            self._ledgers[company.code] = ledger_parts(self._connection, company.code)
        return self._ledgers[company.code]

    def ledger_balances(self, company: Company) -> dict[LedgerAccountName, LedgerBalance]:
        """Return the balance of each account in the ledger, as far as it is known."""
        named = self._accounts.with_posting_setup(self.directory.posting_setup)
        return ledger.balances(self._connection, company.code, named, self._maps)

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
        return account.roll_forward(self._connection, company, kind, self._ledger_parts(company))

    def balances(self, company: Company) -> dict[str, int | UnknownBalance]:
        """Return the ledger balances by the code of the kind, '' for both accounts together; why, if one is not known.

        Where no main account is named, it is the balance that a person entered today.
        """
        codes: dict[str, str] = {**{kind.summary_name: code for code, kind in KINDS.items()}, "together": TOGETHER}
        balances: dict[str, int | UnknownBalance] = {}
        for name, balance in self.ledger_balances(company).items():
            code = codes[name]
            if balance.unknown is None:
                assert balance.amount is not None
                balances[code] = balance.amount
                continue
            balances[code] = balance.unknown
            if balance.unknown == "no-account":
                kept = latest(self._connection, company.code, ledger.KEPT[name])
                if kept is not None and kept.date == self.today(company).isoformat():
                    balances[code] = kept.amount
        return balances
