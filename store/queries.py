"""What is read: summary, grids, chains, errors. Each call sees one consistent state and never waits for the writer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, and_, func, literal, or_, select, text, tuple_

from engine import money
from engine.absence import Moment, in_flight, shown_cause, timed_findings
from engine.calendar import Company, Window, default_window
from engine.changes import ProcessMessage, microseconds
from engine.documents import Chain, Document, Finding, Kind
from engine.errors import QuestionError
from engine.maps import Maps
from engine.records import Record
from engine.references import Directory
from engine.wire import document_json
from store import tables
from store.unit import State, load_resident
from store.views import BITS, MISSING_ACTUALS, MISSING_JOURNAL_LINES, PROCESSED, SUMMED, Sums, View

_decode_chain: Final = msgspec.msgpack.Decoder(Chain).decode
_decode_record: Final = msgspec.msgpack.Decoder(Record).decode
_decode_finding: Final = msgspec.msgpack.Decoder(Finding).decode
_decode_message: Final = msgspec.msgpack.Decoder(ProcessMessage).decode

KINDS: Final[tuple[Kind, ...]] = ("expense", "vendor-invoice-line")

# What a grid can be filtered on by value here; each is a column of the table `documents`.
FILTERS: Final = (
    "document",
    "position",
    "excluded",
    "cause",
    "currency",
    "voucher",
    "project",
    "category",
    "vendor",
    "invoice",
    "journal",
)


class Amount(msgspec.Struct, frozen=True):
    """A sum in units of 1/10000, and the number of documents in it."""

    amount: int
    documents: int


class Summary(msgspec.Struct, frozen=True):
    """The tiles of a company and a window (R31, R32), all in the accounting currency and from one state."""

    company: str
    window: Window
    currency: str | None
    as_of: datetime
    unreconciled: dict[str, Amount]
    tiles: dict[str, Amount]
    difference: Amount
    in_flight: Amount
    not_synced: Amount

    def as_json(self) -> dict[str, Any]:
        """The fixed JSON of `tieout summary`."""
        return {
            "company": self.company,
            "from": self.window.start,
            "to": self.window.end,
            "currency": self.currency,
            "as_of": self.as_of.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "unreconciled": {name: self._amount(value) for name, value in self.unreconciled.items()},
            "tiles": {name: self._amount(value) for name, value in self.tiles.items()},
            "difference": self._amount(self.difference),
            "in_flight": self._amount(self.in_flight),
            "not_synced_to_finance": {
                "amount": money.text(self.not_synced.amount, self.currency),
                "records": self.not_synced.documents,
            },
        }

    def _amount(self, value: Amount) -> dict[str, Any]:
        return {"amount": money.text(value.amount, self.currency), "documents": value.documents}


class GridQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A state of a grid. `after` is the `next` of the page before; `filters` hold one value for each of some
    `FILTERS`.
    """

    company: str
    kind: Kind
    window: Window
    view: View = "all"
    filters: Mapping[str, str] = {}
    descending: bool = True
    after: tuple[str, str] | None = None
    limit: int = 100


class GridRow(msgspec.Struct, frozen=True):
    """A document with what depends on the time it is looked at."""

    document: Document
    cause: str | None
    in_flight: bool
    timed: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The fixed JSON of `tieout documents`."""
        findings = sorted({*self.document.findings, *self.timed})
        return {**document_json(self.document), "cause": self.cause, "in_flight": self.in_flight, "findings": findings}


class Page(msgspec.Struct, frozen=True):
    """Rows of a grid; `next` continues after the last one, None at the end."""

    rows: list[GridRow]
    next: tuple[str, str] | None


class ChainView(msgspec.Struct, frozen=True):
    """A document with everything of its chain: the records, the findings, and the chain's id."""

    row: GridRow
    chain: str
    records: list[Record]
    findings: list[Finding]


class Reader:
    """Answers questions about a store.

    `today` is set by hand, or None for the date in the company's time zone; `clock` gives the moment of asking.
    """

    def __init__(
        self,
        engine: Engine,
        maps: Maps,
        *,
        today: date | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._maps = maps
        self._today = today
        self._clock = clock

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """One state of the store, for as many questions as belong together."""
        with self._engine.connect() as connection, connection.begin():
            yield Snapshot(connection, self._maps, self._today, self._clock())


class Snapshot:
    """The questions, all answered from one state."""

    def __init__(self, connection: Connection, maps: Maps, today: date | None, now: datetime) -> None:
        self._connection = connection
        self._maps = maps
        self._today = today
        self.now = now
        self._directory: Directory | None = None
        self._moment: Moment | None = None

    # --- companies and windows ---------------------------------------------------------------------------------------

    @property
    def directory(self) -> Directory:
        """Companies, currencies, calendars."""
        if self._directory is None:
            state = State(0, 0)
            load_resident(self._connection, self._maps, state)
            self._directory = state.directory
        return self._directory

    def companies(self) -> list[str]:
        """The codes of all companies that have documents or that Finance told of."""
        found = self._connection.execute(select(tables.totals.c.company).distinct()).scalars()
        return sorted({*self.directory.companies, *(code for code in found if code)})

    def company(self, code: str) -> Company:
        """A company by its code, whatever the case. Raises `QuestionError`, naming those there are."""
        known = self.companies()
        if code.upper() not in known:
            raise QuestionError(
                f"there is no company {code!r} here; known are {', '.join(known)}."
                if known
                else f"there is no company {code!r} here: the store holds no documents yet. "
                "Ingest events and run the worker first."
            )
        return self.directory.company(code.upper()) or Company(code.upper(), None, None, None, ())

    def today(self, company: Company) -> date:
        """Today as the settings say, else the date in the company's time zone, else in UTC."""
        if self._today is not None:
            return self._today
        try:
            zone = ZoneInfo(company.time_zone) if company.time_zone else UTC
        except (ZoneInfoNotFoundError, ValueError):
            zone = UTC
        return self.now.astimezone(zone).date()

    def window(self, company: Company, start: str | None, end: str | None) -> Window:
        """The window asked for; a date that is not named is the default's (R30)."""
        if start is not None and end is not None:
            window = Window(start, end)
        elif start is not None:
            window = Window(start, self.today(company).isoformat())
        else:
            default = default_window(company, self.today(company))
            window = Window(default.start, end or default.end)
        if window.start > window.end:
            raise QuestionError(
                f"the window from {window.start} to {window.end} is empty: its start lies after its end."
            )
        return window

    @property
    def moment(self) -> Moment:
        """What is known of time, for causes and for what is in flight."""
        if self._moment is None:
            until = {row.source: row.until for row in self._connection.execute(select(tables.sources))}
            seen: dict[str, bool] = {}

            def observed(entity: str) -> bool:
                if entity not in seen:
                    seen[entity] = self._observed(entity)
                return seen[entity]

            self._moment = Moment(None if self._today is not None else microseconds(self.now), until, observed)
        return self._moment

    def _observed(self, entity: str) -> bool:
        entity_map = self._maps.find(entity)
        if entity_map is None:
            return False
        key = tables.records.c.key
        prefix = entity_map.prefix
        return (
            self._connection.execute(select(key).where(key >= prefix, key < prefix[:-1] + ";").limit(1)).first()
            is not None
        )

    # --- summary -----------------------------------------------------------------------------------------------------

    def summary(self, company: Company, window: Window) -> Summary:
        """The tiles. Each is the sum of its part over the rows of its view, from sums kept by day."""
        by_kind = {kind: _Tiles() for kind in KINDS}
        currencies: set[str] = set()
        for kind, views, accounting, sums in self._totals(company.code, window):
            by_kind[kind].add(views, sums)
            if views & SUMMED:
                currencies.add(accounting)
        expense, invoice = by_kind["expense"], by_kind["vendor-invoice-line"]
        currency = _one_currency(company, currencies)
        return Summary(
            company=company.code,
            window=window,
            currency=currency,
            as_of=self.now,
            unreconciled={"expense": expense.unreconciled, "vendor_invoice": invoice.unreconciled},
            tiles={
                "vendor_invoice_missing_journal_lines": invoice.missing_journal_lines,
                "vendor_invoice_missing_actuals": invoice.missing_actuals,
                "expense_missing_journal_lines": expense.missing_journal_lines,
                "expense_missing_actuals": expense.missing_actuals,
            },
            difference=Amount(
                expense.difference.amount + invoice.difference.amount,
                expense.difference.documents + invoice.difference.documents,
            ),
            in_flight=self._in_flight(company.code, window),
            not_synced=self._not_synced(company.code, currency),
        )

    def _totals(self, company: str, window: Window) -> Iterator[tuple[Kind, int, str, Sums]]:
        table = tables.totals
        rows = self._connection.execute(select(table).where(table.c.company == company, _within(table.c.date, window)))
        for row in rows:
            yield row.kind, row.views, row.accounting_currency, Sums.from_text(row.sums)

    def _in_flight(self, company: str, window: Window) -> Amount:
        moment = self.moment
        if moment.now is None:
            return Amount(0, 0)
        table = tables.documents
        rows = self._connection.execute(
            select(table.c.key, tables.chains.c.body)
            .join(tables.chains, tables.chains.c.id == table.c.chain)
            .where(
                table.c.company == company,
                _within(table.c.date, window),
                text("views & 3 <> 0"),
                table.c.since > moment.now - timedelta(days=1) // timedelta(microseconds=1),
            )
        )
        amount = documents = 0
        for key, body in rows:
            document = _of(body, key)
            if in_flight(document, moment):
                documents += 1
                parts = document.accounting
                amount += parts.missing_actual + parts.missing_journal_line if parts else 0
        return Amount(amount, documents)

    def _not_synced(self, company: str, currency: str | None) -> Amount:
        table = tables.unsynced
        rows = self._connection.execute(
            select(
                table.c.currency,
                func.sum(table.c.records),
                _exact_sum(table.c.amount)[0],
                _exact_sum(table.c.amount)[1],
            )
            .where(table.c.company == company)
            .group_by(table.c.currency)
        )
        records = amount = 0
        for found, number, high, low in rows:
            records += number
            amount += _joined(high, low) if found == (currency or "") else 0
        return Amount(amount, records)

    # --- grids -------------------------------------------------------------------------------------------------------

    def page(self, query: GridQuery) -> Page:
        """A page of a grid by keyset: as quick at the end as at the start."""
        rows: list[Any] = []
        # Rows without a date sort before all others and are in every window. As a range of their own they leave the
        # index its range.
        ranges = [query.window, Window("", "")]
        for window in ranges if query.descending else reversed(ranges):
            if len(rows) <= query.limit:
                rows += self._range(query, window, query.limit + 1 - len(rows))
        shown = rows[: query.limit]
        following = (shown[-1].date, shown[-1].key) if len(rows) > query.limit else None
        return Page([self._row(_of(row.body, row.key)) for row in shown], following)

    def _range(self, query: GridQuery, window: Window, limit: int) -> list[Any]:
        table = tables.documents
        conditions = [self._conditions(query)]
        if query.after is not None:
            after_date, after_key = query.after
            # SQLite walks an index between two plain bounds; the pair then says where to go on within the day.
            if query.descending:
                window = Window(window.start, min(window.end, after_date))
            else:
                window = Window(max(window.start, after_date), window.end)
            place, after = tuple_(table.c.date, table.c.key), tuple_(literal(after_date), literal(after_key))
            conditions.append(place < after if query.descending else place > after)
        statement = (
            select(table.c.date, table.c.key, tables.chains.c.body)
            .join(tables.chains, tables.chains.c.id == table.c.chain)
            .where(*conditions, table.c.date.between(window.start, window.end))
        )
        order = [table.c.date.desc(), table.c.key.desc()] if query.descending else [table.c.date, table.c.key]
        return list(self._connection.execute(statement.order_by(*order).limit(limit)))

    def rows(self, query: GridQuery) -> Iterator[GridRow]:
        """All rows of a grid from `query.after` on, page by page."""
        while True:
            page = self.page(query)
            yield from page.rows
            if page.next is None:
                return
            query = msgspec.structs.replace(query, after=page.next)

    def sums(self, query: GridQuery) -> dict[tuple[str, str], Sums]:
        """Numbers and exact sums over all filtered rows, by (currency, accounting currency).

        Without filters they come from the sums kept by day. Approved documents not yet posted are outside (R13).
        """
        found = self._summed_rows(query) if query.filters else self._kept_sums(query)
        result: dict[tuple[str, str], Sums] = {}
        for key, sums in found:
            result[key] = result[key] + sums if key in result else sums
        return result

    def _kept_sums(self, query: GridQuery) -> Iterator[tuple[tuple[str, str], Sums]]:
        table = tables.totals
        bit = BITS[query.view] or PROCESSED
        rows = self._connection.execute(
            select(table).where(
                table.c.company == query.company,
                table.c.kind == query.kind,
                _within(table.c.date, query.window),
                table.c.views.op("&")(bit) != 0,
            )
        )
        for row in rows:
            yield (row.currency, row.accounting_currency), Sums.from_text(row.sums)

    def _summed_rows(self, query: GridQuery) -> Iterator[tuple[tuple[str, str], Sums]]:
        table = tables.documents
        amounts = [name for name in Sums.__struct_fields__ if name not in ("documents", "with_difference")]
        halves = [half for name in amounts for half in _exact_sum(table.c[name])]
        different = func.sum((table.c.difference != 0).cast(tables.documents.c.views.type))
        rows = self._connection.execute(
            select(table.c.currency, table.c.accounting_currency, func.count(), different, *halves)
            .where(self._conditions(query), _within(table.c.date, query.window), table.c.views.op("&")(PROCESSED) != 0)
            .group_by(table.c.currency, table.c.accounting_currency)
        )
        for currency, accounting, documents, with_difference, *sums in rows:
            numbers = [_joined(high, low) for high, low in zip(sums[::2], sums[1::2], strict=True)]
            yield (currency or "", accounting or ""), Sums(documents, with_difference, *numbers)

    def _conditions(self, query: GridQuery) -> ColumnElement[bool]:
        table = tables.documents
        conditions: list[ColumnElement[bool]] = [table.c.company == query.company, table.c.kind == query.kind]
        if bit := BITS[query.view]:
            # Written out as in the partial indexes, so that the planner sees that they fit.
            conditions.append(text(f"views & {bit} <> 0") if bit in (1, 2) else table.c.views.op("&")(bit) != 0)  # type: ignore[arg-type]
        for name, value in query.filters.items():
            if name not in FILTERS:
                raise QuestionError(f"a grid cannot be filtered on {name!r}; it can on {', '.join(FILTERS)}.")
            conditions.append(table.c[name] == value)
        return and_(*conditions)

    def _row(self, document: Document) -> GridRow:
        end_of_today = self._end_of_today(document)
        return GridRow(
            document,
            shown_cause(document, self.moment),
            in_flight(document, self.moment),
            timed_findings(document, end_of_today),
        )

    def _end_of_today(self, document: Document) -> int:
        if self._today is None:
            return microseconds(self.now)
        return microseconds(
            datetime(self._today.year, self._today.month, self._today.day, tzinfo=UTC) + timedelta(days=1)
        )

    # --- one document ------------------------------------------------------------------------------------------------

    def chain(self, name: str) -> list[ChainView]:
        """The documents of a name (`USPM/000123`) with their chains; mostly one. Raises `QuestionError` when there is
        none.
        """
        table = tables.documents
        rows = self._connection.execute(
            select(table.c.key, tables.chains.c.body)
            .join(tables.chains, tables.chains.c.id == table.c.chain)
            .where(table.c.document.in_([name, _upper_company(name)]))
            .order_by(table.c.key)
        ).all()
        if not rows:
            raise QuestionError(
                f"there is no document {name!r}. A document is COMPANY/TRANSACTION-ID, as `tieout documents` shows it; "
                "a line that is neither approved nor posted in Finance has none."
            )
        return [self._chain_view(row.key, row.body) for row in rows]

    def _chain_view(self, key: str, body: bytes) -> ChainView:
        chain = _decode_chain(body)
        found = self._connection.execute(select(tables.records.c.body).where(tables.records.c.key.in_(chain.members)))
        records = sorted((_decode_record(row.body) for row in found), key=lambda record: record.key)
        return ChainView(self._row(_of(body, key)), chain.id, records, list(chain.findings))

    # --- errors ------------------------------------------------------------------------------------------------------

    def errors(
        self, *, company: str | None = None, start: str | None = None, end: str | None = None, limit: int = 100
    ) -> list[ProcessMessage]:
        """The most recent errors of Finance's processes, newest first (R52); the dates are days in UTC, both
        included.
        """
        table = tables.process_messages
        statement = select(table.c.body).where(table.c.code.is_not(None))
        if company is not None:
            statement = statement.where(table.c.company == company.upper())
        if start is not None:
            statement = statement.where(table.c.at >= _midnight(start))
        if end is not None:
            statement = statement.where(table.c.at < _midnight(end) + 86_400 * 1_000_000)
        rows = self._connection.execute(
            statement.order_by(table.c.at.desc(), table.c.source, table.c.event).limit(limit)
        )
        return [_decode_message(row.body) for row in rows]


class _Tiles:
    """The sums of one kind that the summary shows."""

    def __init__(self) -> None:
        self._all = Sums()
        self._actuals = 0
        self._lines = 0
        self._open = 0
        self._different = 0

    def add(self, views: int, sums: Sums) -> None:
        if not views & SUMMED:
            return
        self._all = self._all + sums
        self._different += sums.with_difference
        self._actuals += sums.documents if views & MISSING_ACTUALS else 0
        self._lines += sums.documents if views & MISSING_JOURNAL_LINES else 0
        self._open += sums.documents if views & (MISSING_ACTUALS | MISSING_JOURNAL_LINES) else 0

    @property
    def missing_actuals(self) -> Amount:
        return Amount(self._all.accounting_missing_actual, self._actuals)

    @property
    def missing_journal_lines(self) -> Amount:
        return Amount(self._all.accounting_missing_journal_line, self._lines)

    @property
    def unreconciled(self) -> Amount:
        """The sum of both tiles; a document in both views counts once."""
        return Amount(self._all.accounting_missing_actual + self._all.accounting_missing_journal_line, self._open)

    @property
    def difference(self) -> Amount:
        return Amount(self._all.accounting_difference, self._different)


def _one_currency(company: Company, found: set[str]) -> str | None:
    """The currency of the tiles: the ledger's. Without a ledger, that of the documents if they have but one."""
    if company.currency is not None:
        return company.currency
    named = {currency for currency in found if currency}
    if len(named) > 1:
        raise QuestionError(
            f"{company.code}: the ledger's currency is not known and the documents are in "
            f"{', '.join(sorted(named))}; sums never mix "
            "currencies. Send the rows of CompanyInfo and Ledger for this company."
        )
    return next(iter(named), None)


def _within(column: ColumnElement[str], window: Window) -> ColumnElement[bool]:
    """A document without a date is in every window: it must not vanish."""
    return or_(column.between(window.start, window.end), column == "")


def _of(body: bytes, key: str) -> Document:
    return next(document for document in _decode_chain(body).documents if document.key == key)


def _upper_company(name: str) -> str:
    company, slash, rest = name.partition("/")
    return company.upper() + slash + rest


def _midnight(day: str) -> int:
    return microseconds(datetime.fromisoformat(day).replace(tzinfo=UTC))


_LOW_BITS: Final = 20


def _exact_sum(column: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """A sum as two sums of its high and low bits: neither can leave 64 bits, so none turns into a float or fails."""
    return (
        func.coalesce(func.sum(column.op(">>")(_LOW_BITS)), 0),
        func.coalesce(func.sum(column.op("&")((1 << _LOW_BITS) - 1)), 0),
    )


def _joined(high: int, low: int) -> int:
    return (int(high) << _LOW_BITS) + int(low)
