"""The integration account of a company: its parts, and what each consists of (`docs/how-it-decides.md`, "The account").

The parts follow from materialised totals, so a window costs the same whatever its length.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, or_, select, text

from engine.calendar import Company, Window
from engine.errors import QueryError
from engine.events.facts import row_id_of
from engine.reconciliation.account import BESIDE, DOCUMENT_PARTS, PARTS, POSTING_PARTS, DocumentPart, PartName
from engine.reconciliation.documents import PostingPart
from engine.reconciliation.kinds import KINDS, Kind
from store.projection.tile_totals import MISSING_ACTUALS, MISSING_JOURNAL_LINES, NOT_COMPUTABLE, SUMMED, Totals
from store.queries.common import materialised_totals
from store.schema import tables

TOGETHER: Final = ""
"""The name of all accounts together, beside the codes of the kinds."""

_SIDES: Final[Mapping[str, DocumentPart]] = {"before": "before-window", "after": "after-window"}


class Part(msgspec.Struct):
    """A part of an account: its amount in units of the accounting currency, the number of its documents or postings,
    and how many of them have no amount.
    """

    amount: int = 0
    count: int = 0
    unknown: int = 0

    def add(self, amount: int, count: int, unknown: int = 0) -> None:
        """Add to the part."""
        self.amount += amount
        self.count += count
        self.unknown += unknown


class Account(msgspec.Struct):
    """The parts of one account, or of all together."""

    parts: dict[PartName, Part] = msgspec.field(default_factory=lambda: {name: Part() for name in PARTS})

    @property
    def explained(self) -> int:
        """The sum of the parts, without the one beside it."""
        return sum(part.amount for name, part in self.parts.items() if name != BESIDE)


class ExcludedTotal(msgspec.Struct, frozen=True):
    """The posted documents that are excluded for a reason: not in the sum, maybe in the account."""

    reason: str
    amount: int
    documents: int


class AccountParts(msgspec.Struct, frozen=True):
    """The accounts of a company by kind, and all `TOGETHER`, in `currency`; and the excluded documents by reason."""

    currency: str | None
    accounts: dict[str, Account]
    excluded: list[ExcludedTotal]


def account_parts(connection: Connection, company: Company, window: Window | None) -> AccountParts:
    """Return the parts of the accounts of a company; without a window, of all dates.

    Raises `QueryError` if the ledger of the company is unknown and its amounts are in several currencies.
    """
    currency = accounting_currency(connection, company)
    accounts = {name: Account() for name in (*KINDS, TOGETHER)}
    excluded: dict[str, Part] = {}
    for (side, kind, views, reason, in_currency), sums in _document_totals(connection, company.code, window).items():
        if views & SUMMED:
            if in_currency == (currency or ""):
                for account in (accounts[kind], accounts[TOGETHER]):
                    _add_documents(account, side, views, sums)
        elif reason == BESIDE:
            for account in (accounts[kind], accounts[TOGETHER]):
                account.parts[BESIDE].add(sums.accounting_amount, sums.documents)
        elif reason:
            excluded.setdefault(reason, Part()).add(sums.accounting_amount, sums.documents)
    for kind, part, postings, unknown, amount in _posting_totals(connection, company.code, currency):
        for name in {kind, TOGETHER} & accounts.keys():
            accounts[name].parts[part].add(-amount, postings, unknown)
    listed = [ExcludedTotal(reason, part.amount, part.count) for reason, part in sorted(excluded.items())]
    return AccountParts(currency, accounts, listed)


def accounting_currency(connection: Connection, company: Company) -> str | None:
    """Return the accounting currency of a company; while its ledger is unknown, the only currency of its amounts."""
    if company.currency is not None:
        return company.currency
    totals, postings = tables.totals.c, tables.posting_totals.c
    known = select(totals.accounting_currency).where(totals.company == company.code)
    posted = select(postings.currency).where(postings.company == company.code)
    currencies = sorted({*connection.execute(known).scalars(), *connection.execute(posted).scalars()} - {""})
    if len(currencies) > 1:
        raise QueryError(
            "the ledger of %(company)s isn't known yet, and its amounts are in %(currencies)s, which cannot be added. "
            "Send its rows of CompanyInfo and Ledger.",
            company=company.code,
            currencies=", ".join(currencies),
        )
    return currencies[0] if currencies else None


def _document_totals(
    connection: Connection, company: str, window: Window | None
) -> dict[tuple[str, str, int, str, str], Totals]:
    """Return totals by side of the window, kind, views, reason of exclusion and accounting currency."""
    table = tables.totals.c
    reason = case((table.position == "excluded", table.cause), else_="")
    by = [_side(table.date, window), table.kind, table.views, reason, table.accounting_currency]
    totals = materialised_totals(connection, by, table.company == company)
    return {(side, kind, views, why, currency): sums for (side, kind, views, why, currency), sums in totals.items()}


def _side(date: ColumnElement[str], window: Window | None) -> ColumnElement[str]:
    """Return where a date is: `before` or `after` the window, or `in` it, as documents without a date are."""
    if window is None:
        return case((date == "", "in"), else_="in")
    return case((date == "", "in"), (date < window.start, "before"), (date > window.end, "after"), else_="in")


def _add_documents(account: Account, side: str, views: int, sums: Totals) -> None:
    if side in _SIDES:
        unknown = sums.documents if views & NOT_COMPUTABLE else 0
        account.parts[_SIDES[side]].add(sums.booked - sums.cleared, sums.unsettled, unknown)
        return
    if views & NOT_COMPUTABLE:
        account.parts["amount-unknown"].add(sums.booked - sums.cleared, sums.documents)
        return
    in_views = {
        MISSING_ACTUALS: sums.accounting_missing_actual,
        MISSING_JOURNAL_LINES: sums.accounting_missing_journal_line,
    }
    account.parts["missing-actual"].add(in_views[MISSING_ACTUALS], sums.documents if views & MISSING_ACTUALS else 0)
    account.parts["missing-journal-line"].add(
        in_views[MISSING_JOURNAL_LINES], sums.documents if views & MISSING_JOURNAL_LINES else 0
    )
    account.parts["amount-difference"].add(sums.accounting_difference, sums.with_difference)
    account.parts["exchange-difference"].add(sums.exchange_difference, sums.with_exchange_difference)


def _posting_totals(
    connection: Connection, company: str, currency: str | None
) -> Iterator[tuple[str, PostingPart, int, int, int]]:
    """Yield the postings that no document counts: kind, part, their number, those without an amount, the amount."""
    table = tables.posting_totals.c
    query = select(table.kind, table.part, table.postings, table.unknown, table.amount)
    known = or_(table.currency == (currency or ""), table.currency == "")
    rows = connection.execute(query.where(table.company == company, table.part != "", known))
    for kind, part, postings, without_amount, amount in rows:
        yield kind, part, postings, without_amount, int(amount)


# --- what a part consists of ------------------------------------------------------------------------------------------


class PartRow(msgspec.Struct, frozen=True):
    """A document or a posting of a part, with what it leaves on the account (units of the accounting currency; None if
    unknown). `id` is the name of the document, or of the row of a posting; `document` the document that a posting
    belongs to, if any.
    """

    part: PartName
    company: str
    kind: Kind | None
    id: str
    document: str | None
    date: str | None
    voucher: str | None
    project: str | None
    amount: int | None
    currency: str | None


def part_rows(
    connection: Connection, company: Company, window: Window | None, part: PartName, kind: Kind | None = None
) -> Iterator[PartRow]:
    """Yield the rows of a part, documents by date and postings by key; those of one account, if a kind is given."""
    if part in POSTING_PARTS:
        yield from _postings_of(connection, company.code, part, kind)
    elif part in DOCUMENT_PARTS:
        yield from _documents_of(connection, company.code, window, part, kind)


def _postings_of(connection: Connection, company: str, part: PartName, kind: Kind | None) -> Iterator[PartRow]:
    table = tables.postings.c
    of_account = [table.kind == kind] if kind is not None else []
    query = select(tables.postings).where(table.company == company, table.part == part, *of_account)
    # Literal, as in the partial index, so that the planner recognises it.
    query = query.where(text("part <> ''")).order_by(table.key).execution_options(yield_per=1_000)
    for row in connection.execute(query):
        amount = None if row.amount is None else -row.amount
        yield PartRow(
            *(part, row.company, row.kind or None, row_id_of(row.key.split(":", 2)[2]), row.name),
            *(row.date or None, row.voucher, row.project, amount, row.currency or None),
        )


_TABLE: Final = tables.documents.c
_REST: Final = _TABLE.booked - _TABLE.cleared
_IS_SUMMED: Final = _TABLE.views.op("&")(SUMMED) != 0
_IS_COMPUTABLE: Final = _TABLE.views.op("&")(NOT_COMPUTABLE) == 0
_IS_UNSETTLED: Final = or_(
    _TABLE.views.op("&")(NOT_COMPUTABLE) != 0,
    _TABLE.accounting_missing_actual != 0,
    _TABLE.accounting_missing_journal_line != 0,
    _TABLE.accounting_difference != 0,
    _TABLE.exchange_difference != 0,
)

_PART_CONDITIONS: Final[Mapping[str, tuple[ColumnElement[Any], ColumnElement[bool]]]] = {
    "missing-actual": (
        _TABLE.accounting_missing_actual,
        and_(_TABLE.views.op("&")(MISSING_ACTUALS) != 0, _IS_COMPUTABLE),
    ),
    "missing-journal-line": (
        _TABLE.accounting_missing_journal_line,
        and_(_TABLE.views.op("&")(MISSING_JOURNAL_LINES) != 0, _IS_COMPUTABLE),
    ),
    "amount-difference": (_TABLE.accounting_difference, and_(_TABLE.difference != 0, _IS_COMPUTABLE)),
    "exchange-difference": (_TABLE.exchange_difference, and_(_TABLE.exchange_difference != 0, _IS_COMPUTABLE)),
    "amount-unknown": (_REST, _TABLE.views.op("&")(NOT_COMPUTABLE) != 0),
    "before-window": (_REST, _IS_UNSETTLED),
    "after-window": (_REST, _IS_UNSETTLED),
    "project-unknown": (_TABLE.accounting_amount, _TABLE.excluded == BESIDE),
}
"""The amount of a document in a part, and the condition of the documents in it."""


def _documents_of(
    connection: Connection, company: str, window: Window | None, part: PartName, kind: Kind | None
) -> Iterator[PartRow]:
    amount, condition = _PART_CONDITIONS[part]
    conditions = [_TABLE.company == company, condition, _TABLE.kind.in_([kind] if kind is not None else list(KINDS))]
    if part != BESIDE:
        conditions += [_IS_SUMMED, _side(_TABLE.date, window) == literal(_SIDE_OF.get(part, "in"))]
    columns = (_TABLE.document, _TABLE.kind, _TABLE.date, _TABLE.voucher, _TABLE.project, _TABLE.accounting_currency)
    query = select(*columns, amount.label("amount")).where(*conditions).order_by(_TABLE.date, _TABLE.key)
    for row in connection.execute(query.execution_options(yield_per=1_000)):
        yield PartRow(
            *(part, company, row.kind, row.document, row.document, row.date or None, row.voucher, row.project),
            *(row.amount, row.accounting_currency),
        )


_SIDE_OF: Final[Mapping[str, str]] = {part: side for side, part in _SIDES.items()}


# --- roll-forward -----------------------------------------------------------------------------------------------------


class PeriodMovement(msgspec.Struct):
    """What was booked and cleared in a period, in units of the accounting currency; `start` is '' for what has no
    date.
    """

    start: str
    opening: int = 0
    booked: int = 0
    cleared: int = 0
    other: int = 0

    @property
    def closing(self) -> int:
        """The balance at the end of the period."""
        return self.opening + self.booked - self.cleared + self.other


def roll_forward(connection: Connection, company: Company, kind: Kind | None = None) -> list[PeriodMovement]:
    """Return the movements of an account by month, the earliest first, then what has no date. The last closing is the
    explained balance.
    """
    currency = accounting_currency(connection, company) or ""
    movements: dict[str, PeriodMovement] = {}
    table, posted = tables.totals.c, tables.posting_totals.c
    of_kind = [table.kind == kind] if kind is not None else []
    month = func.substr(table.date, 1, 7)
    in_sum = and_(
        table.company == company.code, table.views.op("&")(SUMMED) != 0, table.accounting_currency == currency
    )
    for (start,), sums in materialised_totals(connection, [month], in_sum, *of_kind).items():
        movements.setdefault(start, PeriodMovement(start)).booked += sums.booked
    of_kind = [posted.kind == kind] if kind is not None else []
    query = select(func.substr(posted.day, 1, 7), posted.amount).where(posted.company == company.code, *of_kind)
    for start, amount in connection.execute(query.where(posted.currency.in_([currency, ""]))):
        movements.setdefault(start, PeriodMovement(start)).cleared += int(amount)
    ordered = sorted(movements.values(), key=lambda movement: (not movement.start, movement.start))
    opening = 0
    for movement in ordered:
        movement.opening = opening
        opening = movement.closing
    return ordered
