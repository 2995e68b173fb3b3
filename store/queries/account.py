"""The integration account of a company: its parts, and what each consists of (`docs/how-it-decides.md`, "The account").

The parts follow from materialised totals, so a window costs the same whatever its length.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
)

from engine.calendar import Company, Window
from engine.chains.records import row_of
from engine.reconciliation.account import BESIDE, DOCUMENT_PARTS, PARTS, POSTING_PARTS, DocumentPart, PartName
from engine.reconciliation.documents import PostingPart
from engine.reconciliation.kinds import KINDS, Kind
from store.projection.tile_totals import MISSING_ACTUALS, MISSING_JOURNAL_LINES, NOT_COMPUTABLE, SUMMED, Totals
from store.queries.common import materialised_totals, one_currency
from store.queries.ledger_comparison import LedgerParts, Scope, compare
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
        """The sum of the parts, without `BESIDE`."""
        return sum(part.amount for name, part in self.parts.items() if name != BESIDE)


class ExcludedTotal(msgspec.Struct, frozen=True):
    """The posted documents that are excluded for a reason: not in the sum, maybe in the account."""

    reason: str
    amount: int
    documents: int


class AccountParts(msgspec.Struct, frozen=True):
    """The accounts of a company by kind, and all `TOGETHER`, in `currency`; the excluded documents by reason; and the
    vouchers whose entries in the ledger differ (`ledger`, None while no entry is known).
    """

    currency: str | None
    accounts: dict[str, Account]
    excluded: list[ExcludedTotal]
    ledger: LedgerParts | None = None


def account_parts(
    connection: Connection, company: Company, window: Window | None, ledger: LedgerParts | None = None
) -> AccountParts:
    """Return the parts of the accounts of a company; without a window, of all dates. `ledger` are the entries of the
    ledger that nothing explains.

    Raises `QueryError` if the ledger of the company is unknown and its amounts are in several currencies.
    """
    currency = accounting_currency(connection, company)
    accounts = {name: Account() for name in (*KINDS, TOGETHER)}
    excluded: dict[str, Part] = {}
    totals = _document_totals(connection, company.code, window)
    without_amount = _without_amount(connection, company.code, window) if _any_not_computable(totals) else {}
    for (side, kind, views, reason, in_currency), sums in totals.items():
        if views & SUMMED:
            if in_currency == (currency or ""):
                unknown = without_amount.get((side, kind, views), 0)
                for account in (accounts[kind], accounts[TOGETHER]):
                    _add_documents(account, side, views, sums, unknown)
        elif reason == BESIDE:
            for account in (accounts[kind], accounts[TOGETHER]):
                account.parts[BESIDE].add(sums.accounting_amount, sums.documents)
        elif reason:
            excluded.setdefault(reason, Part()).add(sums.accounting_amount, sums.documents)
    for kind, part, postings, unknown, amount in _posting_totals(connection, company.code, currency):
        for name in {kind, TOGETHER} & accounts.keys():
            accounts[name].parts[part].add(-amount, postings, unknown)
    for name, (amount, vouchers) in (ledger.other if ledger is not None else {}).items():
        for one in {name, TOGETHER} & accounts.keys():
            accounts[one].parts["other-ledger-entry"].add(amount, vouchers)
    listed = [ExcludedTotal(reason, part.amount, part.count) for reason, part in sorted(excluded.items())]
    return AccountParts(currency, accounts, listed, ledger)


def accounting_currency(connection: Connection, company: Company) -> str | None:
    """Return the accounting currency of a company; while its ledger is unknown, the only currency of its amounts."""
    totals, postings = tables.totals.c, tables.posting_totals.c
    known = select(totals.accounting_currency).where(totals.company == company.code)
    posted = select(postings.currency).where(postings.company == company.code)
    return company.currency or one_currency(
        company, {*connection.execute(known).scalars(), *connection.execute(posted).scalars()}
    )


def _document_totals(
    connection: Connection, company: str, window: Window | None
) -> dict[tuple[str, str, int, str, str], Totals]:
    """Return totals by side of the window, kind, views, reason of exclusion and accounting currency."""
    table = tables.totals.c
    by = [_side(table.date, window), table.kind, table.views, _reason(), table.accounting_currency]
    totals = materialised_totals(connection, by, table.company == company)
    return {(side, kind, views, why, currency): sums for (side, kind, views, why, currency), sums in totals.items()}


def _reason() -> ColumnElement[str]:
    """Return why the documents of a total are excluded; '' if they are not."""
    return case((tables.totals.c.position == "excluded", tables.totals.c.cause), else_="")


def _side(date: ColumnElement[str], window: Window | None) -> ColumnElement[str]:
    """Return where a date is: `before` or `after` the window, or `in` it, as documents without a date are."""
    if window is None:
        return case((date == "", "in"), else_="in")  # a query is not grouped by a constant
    return case((date == "", "in"), (date < window.start, "before"), (date > window.end, "after"), else_="in")


def _any_not_computable(totals: Iterable[tuple[str, str, int, str, str]]) -> bool:
    return any(views & NOT_COMPUTABLE for _, _, views, _, _ in totals)


def _without_amount(connection: Connection, company: str, window: Window | None) -> dict[tuple[str, str, int], int]:
    """Return how many documents book or clear an unknown amount, by side of the window, kind and views."""
    side = _side(func.coalesce(_TABLE.date, literal_column("''")), window).label("side")
    unknown = or_(_TABLE.booked.is_(None), _TABLE.cleared.is_(None))
    query = select(side, _TABLE.kind, _TABLE.views, func.count().label("number")).where(
        _TABLE.company == company, _IS_SUMMED, ~_IS_COMPUTABLE, unknown
    )
    rows = connection.execute(query.group_by(literal_column("side"), _TABLE.kind, _TABLE.views))
    return {(row.side, row.kind, row.views): row.number for row in rows}


def _add_documents(account: Account, side: str, views: int, sums: Totals, unknown: int) -> None:
    """Add a total to the parts; of its documents, `unknown` book or clear an unknown amount."""
    if side in _SIDES:
        account.parts[_SIDES[side]].add(sums.booked - sums.cleared, sums.unsettled, unknown)
        return
    if views & NOT_COMPUTABLE:
        account.parts["amount-unknown"].add(sums.booked - sums.cleared, sums.documents, unknown)
        return
    actuals = sums.documents if views & MISSING_ACTUALS else 0
    account.parts["missing-actual"].add(sums.accounting_missing_actual, actuals)
    lines = sums.documents if views & MISSING_JOURNAL_LINES else 0
    account.parts["missing-journal-line"].add(sums.accounting_missing_journal_line, lines)
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
    belongs to, if any. `place` is where it stands in the order of the list.
    """

    part: str
    company: str
    kind: Kind | None
    id: str
    document: str | None
    date: str | None
    voucher: str | None
    project: str | None
    amount: int | None
    currency: str | None
    place: str = ""


def part_rows(
    connection: Connection,
    company: Company,
    window: Window | None,
    part: PartName,
    kind: Kind | None = None,
    after: str | None = None,
) -> Iterator[PartRow]:
    """Yield the rows of a part, documents by date and postings by key; those of one account, if a kind is given, and
    those beyond the place `after`.
    """
    if part in POSTING_PARTS:
        table = tables.postings.c
        # Literal, as in the partial index, so that the planner recognises it.
        conditions: list[ColumnElement[bool] | TextClause] = [table.part == part, text("part <> ''")]
        yield from _postings(connection, company, part, conditions, kind, after, sign=-1)
    elif part == "other-ledger-entry":
        yield from _other_entries(connection, company, kind, after)
    elif part in DOCUMENT_PARTS:
        selection = _PARTS[part]
        if part != BESIDE:
            side = _side(tables.totals.c.date, window) == literal(_SIDE_OF.get(part, "in"))
            selection = selection._replace(days=side)
        yield from _documents(connection, company, part, selection, kind, after)


def excluded_rows(
    connection: Connection, company: Company, reason: str, kind: Kind | None = None, after: str | None = None
) -> Iterator[PartRow]:
    """Yield the posted documents that are excluded for a reason, with their amounts, by date."""
    yield from _documents(connection, company, f"excluded-{reason}", _excluded(reason), kind, after)


def booked_rows(
    connection: Connection, company: Company, month: str, kind: Kind | None = None, after: str | None = None
) -> Iterator[PartRow]:
    """Yield the documents whose booked amounts are those of a month (`YYYY-MM`; '' for no date) of the roll-forward, by
    key.
    """
    entries = tables.ledger_entries.c
    of_ledger = (entries.company == company.code, entries.lacks == "", entries.date != "", entries.voucher != "")
    posted = select(entries.voucher, func.min(entries.date).label("day")).where(*of_ledger)
    day = posted.group_by(entries.voucher).subquery()
    own = func.coalesce(_TABLE.date, "")
    # What can be of the month, found by indexes; the day of the voucher decides.
    in_month = select(entries.voucher).where(*of_ledger, func.substr(entries.date, 1, 7) == month)
    candidates = or_(func.substr(own, 1, 7) == month, _TABLE.voucher.in_(in_month))
    query = (
        select(*_NAMED, _TABLE.kind, func.coalesce(day.c.day, own).label("day"), _TABLE.booked.label("amount"))
        .select_from(tables.documents.outerjoin(day, day.c.voucher == _TABLE.voucher))
        .where(_TABLE.company == company.code, _IS_SUMMED, _TABLE.booked != 0, candidates)
        .where(func.substr(func.coalesce(day.c.day, own), 1, 7) == month)
        .where(func.coalesce(_TABLE.accounting_currency, "") == (accounting_currency(connection, company) or ""))
        .where(_TABLE.kind.in_(list(KINDS) if kind is None else [kind]))
    )
    if after is not None:
        query = query.where(_TABLE.key > after)
    for row in connection.execute(query.order_by(_TABLE.key).execution_options(yield_per=1_000)):
        yield PartRow(
            *("booked", company.code, row.kind, row.document, row.document, row.day or None, row.voucher, row.project),
            *(row.amount, row.accounting_currency, row.key),
        )


def cleared_rows(
    connection: Connection, company: Company, month: str, kind: Kind | None = None, after: str | None = None
) -> Iterator[PartRow]:
    """Yield the postings whose cleared amounts are those of a month (`YYYY-MM`; '' for no date) of the roll-forward."""
    of_month = func.substr(tables.postings.c.date, 1, 7) == month
    yield from _postings(connection, company, "cleared", [of_month], kind, after, sign=1)


def _postings(
    connection: Connection,
    company: Company,
    part: str,
    conditions: Sequence[ColumnElement[bool] | TextClause],
    kind: Kind | None,
    after: str | None,
    *,
    sign: int,
) -> Iterator[PartRow]:
    table = tables.postings.c
    currency = accounting_currency(connection, company) or ""
    query = select(tables.postings).where(table.company == company.code, *conditions)
    query = query.where(table.currency.in_([currency, ""]))
    if kind is not None:
        query = query.where(table.kind == kind)
    if after is not None:
        query = query.where(table.key > after)
    for row in connection.execute(query.order_by(table.key).execution_options(yield_per=1_000)):
        yield PartRow(
            *(part, row.company, row.kind or None, row_of(row.key), row.name),
            *(row.date or None, row.voucher, row.project, None if row.amount is None else sign * row.amount),
            *(row.currency or None, row.key),
        )


def _other_entries(connection: Connection, company: Company, kind: Kind | None, after: str | None) -> Iterator[PartRow]:
    unknown = _of_unknown_project(connection, company)
    for one in compare(connection, company.code, Scope(currency=company.currency)):
        # In the order of the comparison.
        place = one.voucher, one.account
        if (
            one.computed is not None
            or kind not in (None, one.account)
            or (after is not None and place <= _placed(after))
        ):
            continue
        own = next((code for code in KINDS if code == one.account), None)
        yield PartRow(
            *("other-ledger-entry", company.code, own, one.voucher, unknown.get(one.voucher), one.date or None),
            one.voucher,
            *(None, one.ledger, company.currency, "|".join(place)),
        )


def _of_unknown_project(connection: Connection, company: Company) -> dict[str, str]:
    """Return the names of documents that are not in the sum because their project is unknown, by their vouchers."""
    query = select(_TABLE.voucher, _TABLE.document).where(
        _TABLE.company == company.code, _TABLE.excluded == BESIDE, _TABLE.voucher.is_not(None)
    )
    return {row.voucher: row.document for row in connection.execute(query.order_by(_TABLE.key.desc()))}


def _placed(after: str) -> tuple[str, str]:
    voucher, _, account = after.rpartition("|")
    return voucher, account


_TABLE: Final = tables.documents.c
_NAMED: Final = (_TABLE.key, _TABLE.document, _TABLE.voucher, _TABLE.project, _TABLE.accounting_currency)
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


class _Selection(NamedTuple):
    """Documents of a list: what each has in it, the condition for them, how many of the documents of a total (its
    views, its reason of exclusion, its sums) are among them, and the condition for the days.
    """

    amount: ColumnElement[Any]
    condition: ColumnElement[bool]
    number: Callable[[int, str, Totals], int]
    days: ColumnElement[bool] | None = None


def _in_view(bit: int, amount: ColumnElement[Any]) -> _Selection:
    return _Selection(
        amount,
        and_(_TABLE.views.op("&")(bit) != 0, _IS_SUMMED, _IS_COMPUTABLE),
        lambda views, _, sums: sums.documents if views & bit and not views & NOT_COMPUTABLE else 0,
    )


def _excluded(reason: str) -> _Selection:
    return _Selection(
        _TABLE.accounting_amount, _TABLE.excluded == reason, lambda _, why, sums: sums.documents if why == reason else 0
    )


_UNSETTLED: Final = _Selection(_REST, and_(_IS_SUMMED, _IS_UNSETTLED), lambda _, __, sums: sums.unsettled)

_PARTS: Final[Mapping[str, _Selection]] = {
    "missing-actual": _in_view(MISSING_ACTUALS, _TABLE.accounting_missing_actual),
    "missing-journal-line": _in_view(MISSING_JOURNAL_LINES, _TABLE.accounting_missing_journal_line),
    "amount-difference": _Selection(
        _TABLE.accounting_difference,
        and_(or_(_TABLE.difference != 0, _TABLE.accounting_difference != 0), _IS_SUMMED, _IS_COMPUTABLE),
        lambda _, __, sums: sums.with_difference,
    ),
    "exchange-difference": _Selection(
        _TABLE.exchange_difference,
        and_(_TABLE.exchange_difference != 0, _IS_SUMMED, _IS_COMPUTABLE),
        lambda _, __, sums: sums.with_exchange_difference,
    ),
    "amount-unknown": _Selection(
        _REST,
        and_(_TABLE.views.op("&")(NOT_COMPUTABLE) != 0, _IS_SUMMED),
        lambda views, _, sums: sums.documents if views & NOT_COMPUTABLE else 0,
    ),
    "before-window": _UNSETTLED,
    "after-window": _UNSETTLED,
    BESIDE: _excluded(BESIDE),
}


def _documents(
    connection: Connection, company: Company, part: str, selection: _Selection, kind: Kind | None, after: str | None
) -> Iterator[PartRow]:
    """Yield the documents of a list by date, kind and key. Only days that have any are read, so that a page of a long
    list costs as much as one of a short list.
    """
    first_day, first_kind, first_key = _place(after)
    kinds = list(KINDS) if kind is None else [kind]
    conditions = [_TABLE.company == company.code, selection.condition]
    if not part.startswith("excluded-") and part != BESIDE:
        currency = accounting_currency(connection, company) or ""
        conditions.append(func.coalesce(_TABLE.accounting_currency, "") == currency)
    for day, of_kind in _days(connection, company.code, selection, kinds):
        if (day, of_kind) < (first_day, first_kind):
            continue
        query = select(*_NAMED, selection.amount.label("amount")).where(
            *conditions, _TABLE.kind == of_kind, _TABLE.date == day
        )
        if (day, of_kind) == (first_day, first_kind):
            query = query.where(_TABLE.key > first_key)
        for row in connection.execute(query.order_by(_TABLE.key).execution_options(yield_per=1_000)):
            yield PartRow(
                *(part, company.code, of_kind, row.document, row.document, day or None, row.voucher, row.project),
                *(row.amount, row.accounting_currency, f"{day}~{of_kind}~{row.key}"),
            )


def _place(after: str | None) -> tuple[str, str, str]:
    """Return the day, kind and key of a place of documents; the very first one for None."""
    day, kind, key = after.split("~", 2) if after is not None and after.count("~") > 1 else ("", "", after or "")
    return day, kind, key


def _days(connection: Connection, company: str, selection: _Selection, kinds: Sequence[Kind]) -> list[tuple[str, Kind]]:
    """Return the days on which documents of a list are, with their kinds, in order."""
    table = tables.totals.c
    conditions = [table.company == company, table.kind.in_(kinds)]
    if selection.days is not None:
        conditions.append(selection.days)
    by = [table.date, table.kind, table.views, _reason()]
    totals = materialised_totals(connection, by, *conditions)
    days = {(day, kind) for (day, kind, views, why), sums in totals.items() if selection.number(views, why, sums)}
    return sorted(days)


_SIDE_OF: Final[Mapping[str, str]] = {part: side for side, part in _SIDES.items()}
