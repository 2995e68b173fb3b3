"""Postings: what posting the integration journal took out of an account, and which document counts it.

The rules of the integration account, kept as an account: `docs/how-it-decides.md`, "The account".
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from engine import money
from engine.calendar import local_day
from engine.chains.records import Row
from engine.chains.references import ReferenceData
from engine.events.facts import iso
from engine.reconciliation.actual_facts import ActualFacts, StagingFacts, clears_nothing, is_posted, written_amount
from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts
from engine.reconciliation.documents import Posting, PostingPart
from engine.reconciliation.kinds import VENDOR_INVOICE_LINE, Kind
from engine.reconciliation.positions import Verdict

Basis = Literal["written-back", "line", "staging", "actual", "assumed"]
"""What the cleared amount of a posting is read from, the best first; `assumed` is what the document booked."""


class Cleared(NamedTuple):
    """The amount of a posting and what it is read from. `unlike`: Finance wrote unlike amounts to two staging rows of
    the line.
    """

    amount: int | None
    basis: Basis
    unlike: bool = False


class Counted(NamedTuple):
    """The postings that a document counts: by the id of the actual, the cleared amount."""

    postings: list[Posting]
    cleared: dict[str, Cleared]

    @property
    def amount(self) -> int | None:
        """What they cleared; None if that is not known of one of them."""
        amounts = [posting.amount for posting in self.postings]
        known = [amount for amount in amounts if amount is not None]
        return sum(known) if len(known) == len(amounts) and money.fits(sum(known)) else None


class _Claim(NamedTuple):
    """A posted line with the staging row that names it, or a posting without a line, of one actual."""

    line: Row | None
    items: tuple[StagingFacts, ...]

    @property
    def company(self) -> str | None:
        """The company that posted it."""
        return next(
            (
                company
                for company in (self.line and self.line.company, *(item.row.company for item in self.items))
                if company
            ),
            None,
        )

    @property
    def clears_nothing(self) -> bool:
        """Whether it is a sales line."""
        return self.line is not None and clears_nothing(self.line, [item.row for item in self.items])


def posted_lines(groups: Iterable[Sequence[Row]], reference_data: ReferenceData) -> frozenset[str]:
    """Return the ids of the posted journal lines of these groups."""
    return frozenset(
        row.id for group in groups for row in group if row.role == "journal-line" and is_posted(row, reference_data)
    )


class Postings:
    """The postings of a group. `documents` are its documents with their verdicts, `kind` the account of postings
    without a document, `posted` the ids of the posted lines of every group of its family: what shows the posting of a
    line that another group counts is no further posting.
    """

    def __init__(
        self,
        chain: ChainFacts,
        documents: Sequence[tuple[DocumentFacts, Verdict]],
        kind: Kind | None,
        posted: Collection[str] = (),
    ) -> None:
        self._chain = chain
        self._posted = posted
        self._kind = kind
        self._owners: dict[str, tuple[DocumentFacts, Verdict, ActualFacts]] = {
            actual.row.id: (facts, verdict, actual) for facts, verdict in documents for actual in facts.actuals
        }
        self.postings: list[Posting] = []
        self.counted: dict[str, Counted] = {}
        self._collect()

    def of(self, line_key: str) -> Counted:
        """Return the postings that a document counts."""
        return self.counted.get(line_key) or Counted([], {})

    def further_lines(self, facts: DocumentFacts) -> list[Row]:
        """Return the further posted lines of the actuals of a document, by key."""
        further = {item.key for item in self.postings if item.part == "posted-twice" and item.name == facts.name}
        return [row for row in self._chain.of("journal-line") if row.key in further] if further else []

    def _collect(self) -> None:
        claims = self._claims()
        for actual_id in sorted(claims, key=str):
            row = self._actuals.get(actual_id or "")
            if actual_id is None:
                for claim in claims[actual_id]:
                    self._add(claim, None, None, "posting-without-document")
            else:
                self._add_of_actual(actual_id, row, claims[actual_id])
        for line in self._chain.of("journal-line"):
            if line.key not in self._named and is_posted(line, self._chain.reference_data):
                self._add(_Claim(line, ()), None, None, "posting-without-document")
        self.postings.sort(key=lambda posting: posting.key)

    def _claims(self) -> dict[str | None, list[_Claim]]:
        """Return the posted lines and other postings by actual. A line counts once, for the first staging row that
        names it and an actual.
        """
        self._actuals = {row.id: row for row in self._chain.of("actual")}
        by_line: dict[str, list[StagingFacts]] = {}
        items = [item for of_actual in self._chain.staging.values() for item in of_actual]
        for item in sorted(items, key=lambda item: item.row.key):
            if item.line is not None and item.posted_line:
                by_line.setdefault(item.line.key, []).append(item)
        self._named = by_line.keys()
        claims: dict[str | None, list[_Claim]] = {}
        for naming in by_line.values():
            actual_id = next((item.row["actual"] for item in naming if item.row["actual"] is not None), None)
            own = tuple(item for item in naming if item.row["actual"] == actual_id)
            claims.setdefault(actual_id, []).append(_Claim(naming[0].line, own))
        for actual_id, of_actual in self._chain.staging.items():
            free = [item for item in of_actual if not item.posted_line and item.row["line"] not in self._posted]
            self._claim_vouchers(claims, actual_id, free)
        for row in self._chain.of("actual"):
            if row["voucher"] and row.id not in claims and not self._chain.staging.get(row.id):
                claims[row.id] = [_Claim(None, ())]
        return claims

    def _claim_vouchers(
        self, claims: dict[str | None, list[_Claim]], actual_id: str | None, items: Sequence[StagingFacts]
    ) -> None:
        """Claim what vouchers show where no line is seen posted: once for an actual. `items` name no posted line."""
        ordered = sorted(items, key=lambda item: (not item.row["voucher"], item.row.key))
        with_voucher = [item for item in ordered if item.row["voucher"]]
        if actual_id is None:
            claims.setdefault(None, []).extend(_Claim(None, (item,)) for item in with_voucher)
            return
        row = self._actuals.get(actual_id)
        names_posted = len(items) < len(self._chain.staging[actual_id])
        if not names_posted and (with_voucher or (row is not None and row["voucher"])):
            claims[actual_id] = [_Claim(None, tuple(ordered))]

    def _add_of_actual(self, actual_id: str, row: Row | None, claims: list[_Claim]) -> None:
        facts, verdict, actual = self._owners.get(actual_id) or (None, None, None)
        if row is not None and (row["type"] not in (None, "cost") or self._is_timesheet(row, facts)):
            return
        home = facts.line.company if facts is not None else None
        in_account = verdict is not None and verdict.position not in ("excluded", "not-posted")
        ordered = sorted(claims, key=self._preference)
        at_home = [claim for claim in ordered if not in_account or home is None or claim.company in (None, home)]
        for claim in ordered:
            if claim not in at_home:
                self._add(claim, row, facts, "posted-in-other-company")
            elif claim is not at_home[0]:
                self._add(claim, row, facts, "posted-twice")
            elif in_account and actual is not None:
                self._add(claim, row, facts, None, actual)
            else:
                self._add(claim, row, facts, "posting-without-document")

    def _is_timesheet(self, actual: Row, facts: DocumentFacts | None) -> bool:
        """Return True for hours that pass through neither account: those of no vendor invoice line, whose actual may be
        of class Time as well (`docs/domain/documents.md` §2, step 6).
        """
        role = VENDOR_INVOICE_LINE.record_role
        of_invoice = facts.kind is VENDOR_INVOICE_LINE if facts is not None else bool(self._chain.of(role))
        return actual["class"] == "time" and not of_invoice

    def _preference(self, claim: _Claim) -> tuple[bool, int, str]:
        """Sort key: the line that a staging row names now, then the smallest RecId."""
        line = claim.line.id if claim.line is not None else ""
        return all(item.row.former for item in claim.items), len(line), line

    def _add(
        self,
        claim: _Claim,
        actual: Row | None,
        facts: DocumentFacts | None,
        part: PostingPart | None,
        counted: ActualFacts | None = None,
    ) -> None:
        # Where the actual says that it is a cost, missing amounts of the line are no statement.
        if (actual is None or actual["type"] is None) and claim.clears_nothing:
            return
        home = facts.line.company if facts is not None else None
        company = claim.company or home
        currency = self._currency(claim, company, facts if part is None else None)
        cleared = self._cleared(claim, actual, currency, facts if part is None else None, counted)
        kind = facts.kind.code if facts is not None else self._kind
        first = claim.items[0].row if claim.items else None
        rows = [row for row in (claim.line, first, actual) if row is not None]
        posting = Posting(
            (claim.line or actual or first).key,  # type: ignore[union-attr]
            company or "",
            kind,
            facts.line.key if facts is not None and part is None else None,
            part,
            currency,
            cleared.amount,
            self._date(claim, company),
            next((row["voucher"] for row in rows if row["voucher"]), None),
            next((row["project"] for row in rows if row.role != "actual" and row["project"]), None),
            facts.name if facts is not None else None,
        )
        self.postings.append(posting)
        if part is None and facts is not None and actual is not None:
            of_document = self.counted.setdefault(facts.line.key, Counted([], {}))
            of_document.postings.append(posting)
            of_document.cleared[actual.id] = cleared

    def _currency(self, claim: _Claim, company: str | None, facts: DocumentFacts | None) -> str | None:
        """Return the accounting currency of a posting; while no ledger of its company is known, that of its document,
        otherwise its own.
        """
        ledger = self._chain.reference_data.directory.company(company)
        if ledger is not None and ledger.currency is not None:
            return ledger.currency
        if facts is not None:
            return facts.accounting_currency
        return next((row["currency"] for row in _rows(claim) if row["currency"]), None)

    def _date(self, claim: _Claim, company: str | None) -> str | None:
        """Return the accounting date of the line, otherwise the day of its posting in the time zone of the company,
        otherwise the date of the staging row.
        """
        if claim.line is not None:
            if claim.line["accounting_date"]:
                return str(claim.line["accounting_date"])
            journal = self._chain.journal_of(claim.line)
            if journal is not None and journal["posted_at"] is not None:
                at = journal["posted_at"]
                return local_day(self._chain.reference_data.directory.company(company), at) or iso(at)[:10]
        return next((item.row["accounting_date"] for item in claim.items if item.row["accounting_date"]), None)

    # --- what a posting cleared --------------------------------------------------------------------------------------

    def _cleared(
        self,
        claim: _Claim,
        actual: Row | None,
        currency: str | None,
        facts: DocumentFacts | None,
        counted: ActualFacts | None,
    ) -> Cleared:
        """Return what a posting took out of its account, read from the first source that says so."""
        if claim.line is not None:
            if (written := _written_back(claim)) is not None:
                return written
            if (amount := _of_line(claim, currency)) is not None:
                return Cleared(amount, "line")
        if (amount := _of_staging(claim, currency)) is not None:
            return Cleared(amount, "staging")
        if actual is not None and actual["accounting_amount"] is not None:
            return Cleared(actual["accounting_amount"], "actual")
        if facts is not None and counted is not None:
            return Cleared(booked_for(facts, counted), "assumed")
        return Cleared(None, "assumed")


def booked_for(facts: DocumentFacts, actual: ActualFacts) -> int | None:
    """Return what a document booked for one of its actuals: its share by transaction amount, or all of it."""
    booked, amount, share = facts.accounting_amount, facts.amount, facts.amount_of(actual)
    if booked is None or not amount or share is None:
        return booked
    part = money.rounded(Fraction(booked * share, amount), facts.accounting_currency)
    return part if money.fits(part) else None


def _rows(claim: _Claim) -> Iterator[Row]:
    if claim.line is not None:
        yield claim.line
    for item in claim.items:
        yield item.row


def _written_back(claim: _Claim) -> Cleared | None:
    """Return the accounting amount that Finance wrote to the staging row of a line; None if it has not."""
    written = [item.row for item in claim.items if item.row["voucher"] and item.row["accounting_amount"] is not None]
    if not written:
        return None
    amounts = {row["accounting_amount"] for row in written}
    assert claim.line is not None
    own = [row for row in written if row["voucher"] == claim.line["voucher"]]
    return Cleared((own or written)[0]["accounting_amount"], "written-back", len(amounts) > 1)


def _of_line(claim: _Claim, currency: str | None) -> int | None:
    """Return the amount of a line at its rate. The rate of a staging row is that of its own currency."""
    line = claim.line
    assert line is not None
    if line["amount"] is None:
        return None
    own = next((row["currency"] for row in _rows(claim) if row["currency"]), None)
    alike = (row for row in _rows(claim) if row is line or row["currency"] in (None, own))
    rate = next((rate for row in alike if (rate := row["exchange_rate"]) not in (None, "0")), None)
    if rate is None and own is not None and own == currency:
        rate = "100"
    return money.converted(line["amount"], rate, currency)


def _of_staging(claim: _Claim, currency: str | None) -> int | None:
    """Return the accounting amount of a staging row, otherwise its amount at its rate; 0 without a voucher is not
    written.
    """
    for item in claim.items:
        if (amount := written_amount(item.row)) is not None:
            return amount
    for item in claim.items:
        row = item.row
        if row["amount"] is None:
            continue
        rate = row["exchange_rate"] if row["exchange_rate"] not in (None, "0") else None
        if rate is None and row["currency"] is not None and row["currency"] == currency:
            rate = "100"
        if (amount := money.converted(row["amount"], rate, currency)) is not None:
            return amount
    return None
