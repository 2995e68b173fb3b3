"""The integration account by the naive model: what was booked and cleared, and which document counts each posting."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.support.naive_chains import ACTUAL, INVOICE_LINE, INVOICE_LINE_RECORD, JOURNAL_LINE, STAGING
from tests.support.naive_documents import Document
from tests.support.naive_model import NaiveModel
from tests.support.naive_records import Record
from tests.support.naive_sharing import COST, TIME, is_cost, skips_sync
from tests.support.naive_values import ARITHMETIC, choice, code, fits, money, number, rounded, row_id, total

IN_SUMS = ("missing-actual", "missing-journal-line", "reconciled")
VOUCHERS = ("VoucherNumber", "Voucher")


@dataclass
class Cleared:
    """A posting: the row that shows it, the company that posted it, its part, the document that counts it."""

    key: tuple[str, str]
    company: str | None
    part: str  # "" for a posting that a document counts
    document: Document | None
    amount: Decimal | None
    currency: str | None


class NaiveAccount(NaiveModel):
    """Booked and cleared amounts. Every posting is looked up from the rows, once."""

    def postings(self) -> list[Cleared]:
        """Every posting, with the document that counts it or the part of its own."""
        owners = {
            actual.id: document
            for document in self._documents
            for described, mine in self._described(self._chain_of[document.line.key])
            if described.line is document.line
            for actual in mine
            if is_cost(actual) and not skips_sync(actual)
        }
        by_actual: dict[str | None, list[tuple[Record | None, list[Record]]]] = defaultdict(list)
        lines = [line for line in self._all(JOURNAL_LINE) if self._line_state(line) == "posted"]
        lost: list[Record] = []
        for line in lines:
            naming = [s for s in self._all(STAGING) if row_id(s.get("ProjAdvancedJournalLine")) == line.id]
            if not naming:
                lost.append(line)
                continue
            of = next(filter(None, (row_id(s.get("ActualId")) for s in naming)), None)
            by_actual[of].append((line, [s for s in naming if row_id(s.get("ActualId")) == of]))
        posted_lines = {line.id for line in lines}
        for actual in {row_id(s.get("ActualId")) for s in self._all(STAGING)}:
            rows = [s for s in self._all(STAGING) if row_id(s.get("ActualId")) == actual]
            with_voucher = [s for s in rows if s.text(*VOUCHERS)]
            if actual is None:
                free = [s for s in with_voucher if row_id(s.get("ProjAdvancedJournalLine")) not in posted_lines]
                by_actual[None] += [(None, [s]) for s in free]
            elif not any(row_id(s.get("ProjAdvancedJournalLine")) in posted_lines for s in rows):
                row = self.records.get((ACTUAL, actual))
                if with_voucher or (row and self._has_voucher(row)):
                    by_actual[actual].append((None, with_voucher + [s for s in rows if s not in with_voucher]))
        for row in self._all(ACTUAL):
            if self._has_voucher(row) and not self._staging_rows(row):
                by_actual[row.id].append((None, []))
        found = [self._posting(line, [], None, None, "posting-without-document") for line in lost]
        for actual, claims in by_actual.items():
            found += self._of_actual(actual, claims, owners.get(actual or ""))
        return [posting for posting in found if posting is not None]

    def _has_voucher(self, actual: Record) -> bool:
        return actual.text("assumed_vouchernumber", "msdyn_externalreferenceid") is not None

    def _of_actual(
        self, actual: str | None, claims: list[tuple[Record | None, list[Record]]], document: Document | None
    ) -> list[Cleared | None]:
        if actual is None:
            return [self._posting(line, naming, None, None, "posting-without-document") for line, naming in claims]
        row = self.records.get((ACTUAL, actual))
        type_ = choice(row.get("msdyn_transactiontypecode")) if row else None
        if type_ is not None and type_ in TYPES and type_ != COST:
            return []
        if row and choice(row.get("msdyn_transactionclassification")) == TIME:
            # A vendor invoice may be for hours; a timesheet passes through neither account.
            sources = {r.entity for r in self._chain_of[row.key]}
            if document.kind != INVOICE_LINE if document else INVOICE_LINE_RECORD not in sources:
                return []
        counts = document is not None and document.position in IN_SUMS
        claims = sorted(claims, key=lambda claim: self._preference(*claim))
        home = document.company if document and counts else None
        at_home = [c for c in claims if home is None or self._company(*c) in (None, home)]
        postings = []
        for claim in claims:
            if claim not in at_home:
                part = "posted-in-other-company"
            elif claim is not at_home[0]:
                part = "posted-twice"
            else:
                part = "" if counts else "posting-without-document"
            postings.append(self._posting(*claim, row, document, part))
        return postings

    def _preference(self, line: Record | None, naming: list[Record]) -> Any:
        identifier = line.id if line else ""
        return all(staging.is_former for staging in naming), len(identifier), identifier

    def _company(self, line: Record | None, naming: list[Record]) -> str | None:
        return next((r.company for r in ([line] if line else []) + naming if r.company), None)

    def _posting(
        self, line: Record | None, naming: list[Record], actual: Record | None, document: Document | None, part: str
    ) -> Cleared | None:
        is_cost = actual is not None and choice(actual.get("msdyn_transactiontypecode")) == COST
        is_cost = is_cost or line is None or bool(code(line.get("CostCurrency")) or money(line.get("ExtendedCost")))
        if line and not {"CostCurrency", "ExtendedCost"} & line.columns.keys():
            # The line says nothing about its cost; its staging row may.
            is_cost = is_cost or any(money(s.get("Amount")) or money(s.get("AccountingAmount")) for s in naming)
        if not is_cost:
            return None  # a sales line
        shows = line or actual or naming[0]
        company = self._company(line, naming) or (document.company if document else None)
        rows = ([line] if line else []) + naming
        names = [self._currency_text(row) for row in rows]
        ledger = self._accounting_currency(company) if company else None
        counted = document if document and not part else None
        currency = ledger or (counted.accounting_currency if counted else next((name for name in names if name), None))
        amount = self._cleared(line, naming, actual, counted, currency)
        if counted and (counted.booked is None):
            amount = None
        return Cleared(shows.key, company, part, counted, amount, currency)

    def _currency_text(self, row: Record) -> str | None:
        return code(row.get("CostCurrency" if row.entity == JOURNAL_LINE else "TransactionCurrencyId"))

    def _rate_of(self, row: Record) -> Decimal | None:
        return number(row.get("CostExchangeRate" if row.entity == JOURNAL_LINE else "ExchangeRate")) or None

    def _cleared(
        self,
        line: Record | None,
        naming: list[Record],
        actual: Record | None,
        document: Document | None,
        currency: str | None,
    ) -> Decimal | None:
        if line:
            written = [s for s in naming if s.text(*VOUCHERS) and money(s.get("AccountingAmount")) is not None]
            if written:
                own = [s for s in written if s.text(*VOUCHERS) == line.text("Voucher")]
                return money((own or written)[0].get("AccountingAmount"))
            rows = [line, *naming]
            own_currency = next((name for r in rows if (name := self._currency_text(r))), None)
            # A rate is the rate of the currency beside it.
            rate = self._rate_of(line) or next(
                (
                    self._rate_of(s)
                    for s in naming
                    if self._rate_of(s) and self._currency_text(s) in (None, own_currency)
                ),
                None,
            )
            converted = self._converted(money(line.get("ExtendedCost")), rate, own_currency, currency)
            if converted is not None:
                return converted
        for staging in naming:
            amount = money(staging.get("AccountingAmount"))
            if amount is not None and (amount or staging.text(*VOUCHERS)):
                return amount
        for staging in naming:
            own_currency = self._currency_text(staging)
            converted = self._converted(money(staging.get("Amount")), self._rate_of(staging), own_currency, currency)
            if converted is not None:
                return converted
        if actual and (amount := money(actual.get("assumed_accountingamount"))) is not None:
            return amount
        if document and actual:
            booked = document.booked
            share = self._amount_in_document_currency(actual, document)
            if booked is None or not document.net or share is None:
                return booked
            part = rounded(ARITHMETIC.divide(ARITHMETIC.multiply(booked, share), document.net), currency)
            return part if fits(part) else None
        return None

    def _converted(
        self, amount: Decimal | None, rate: Decimal | None, own: str | None, currency: str | None
    ) -> Decimal | None:
        if rate is None and own is not None and own == currency:
            rate = Decimal(100)
        if amount is None or rate is None:
            return None
        result = rounded(ARITHMETIC.multiply(amount, rate) / 100, currency)
        return result if fits(result) else None

    def booked_less_cleared(self, company: str) -> Decimal:
        """The balance of the accounts of a company: what its documents booked less what its postings cleared."""
        postings = self.postings()
        booked = Decimal(0)
        for document in self._documents:
            if document.company == company and document.position in IN_SUMS:
                own = [posting for posting in postings if posting.document is document]
                if document.booked is not None and all(posting.amount is not None for posting in own):
                    booked += document.booked
        return booked - self.cleared_by(company, postings)

    def cleared_by(self, company: str, postings: list[Cleared]) -> Decimal:
        """What the postings in a company cleared."""
        unknown = {id(p.document) for p in postings if p.document and p.amount is None}
        amounts = [
            posting.amount or Decimal(0)
            for posting in postings
            if posting.company == company and id(posting.document) not in unknown - {id(None)}
        ]
        return total(amounts)


TYPES = {192350000, 192350004, 192350005, 192350006, 192350007, 192350008}
