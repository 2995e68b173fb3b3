"""State of a grid, parsed from its address and written as one (R35).

    /USPM/expense?view=missing-actuals&f.project=P-001*&sort=-amount&group=month

A filter in the address has the syntax of its field, with amounts and dates in neutral format:

| text | `abc` or `abc*` begins with, `*abc` contains, `=abc` equals, `!abc` not equal, `=` empty |
| amount | `100`, `100..500`, `>100`, `<=500`, `!0` not equal |
| number | `3`, `1..4`, `>=5`, `=` empty |
| date, time | `2024-12-24`, `2024-12`, `2024`, `2024-12-01..2024-12-15`, `>=2024-12-01` |
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta, tzinfo
from typing import Any, Final, cast, get_args
from urllib.parse import quote, urlencode

import msgspec

from engine import money
from engine.calendar import Window, midnight
from engine.errors import QueryError
from engine.reconciliation.kinds import KINDS, VIEW_PARTS, Kind
from store.projection.tile_totals import BITS, View
from store.queries.filters import COLUMNS, Condition, Operator
from store.queries.grid_query import AFTER_ALL_KEYS, SORTS, GridQuery, PageKey, Sort
from store.queries.grid_totals import GROUPS, GroupBy
from tieout.workspace.web.grid_columns import GRIDS, Column

ROWS: Final = 50
"""Rows of a page: two screens, and under 50 kB."""

PATHS: Final[dict[Kind, str]] = {code: kind.path for code, kind in KINDS.items()}
VIEWS: Final[dict[Kind, dict[View, str]]] = {
    code: {
        "missing-actuals": "Missing actuals",
        "missing-journal-lines": "Missing journal lines",
        "all": f"All {kind.plural}",
        "reconciled": f"All reconciled {kind.plural}",
    }
    for code, kind in KINDS.items()
}

FILTER_CHARACTERS_MAX: Final = 1_000
"""Length limit of a filter or a search; no name is longer, and SQLite refuses a pattern of 50,000."""

_MIN_WIDTH: Final = 4
_MAX_WIDTH: Final = 80


def day(text: str) -> str:
    """Return a valid date of an address; '' stays ''. Raises `QueryError` with examples."""
    try:
        if text and (not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) or not date.fromisoformat(text)):
            raise ValueError
    except ValueError:
        raise _invalid_date(text) from None
    return text


def dates(query: Mapping[str, str]) -> tuple[str, str]:
    """Return the two dates of an address, '' for a missing one. Raises `QueryError` with examples."""
    return day(query.get("from", "")), day(query.get("to", ""))


def sync_preview(company: str, query: Mapping[str, str]) -> str:
    """Return the address of a sync preview for the scope of a query."""
    text = urlencode({name: value for name, value in query.items() if value}, quote_via=quote)
    return f"/{quote(company, safe='')}/sync/preview" + (f"?{text}" if text else "")


class VisibleColumn(msgspec.Struct, frozen=True):
    """A visible column with its width in characters."""

    column: Column
    width: int


class GridState(msgspec.Struct, frozen=True, kw_only=True):
    """State of a grid, as its address has it."""

    company: str
    kind: Kind
    start: str = ""
    end: str = ""
    view: View = "missing-actuals"
    search: str = ""
    filters: Mapping[str, str] = {}
    sort: Sort = "date"
    descending: bool = True
    group: GroupBy | None = None
    columns: str = ""
    after: str = ""
    backwards: bool = False
    first: int | None = 1
    """Number of the first row or group; None if unknown."""
    opened: str = ""
    """The document in the drawer."""
    was: str = ""

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the address, without defaults."""
        parameters = {
            "from": self.start,
            "to": self.end,
            "view": self.view if self.view != "missing-actuals" else "",
            "q": self.search,
            **{f"f.{name}": text for name, text in self.filters.items()},
            "sort": "" if (self.sort, self.descending) == ("date", True) else self._sorted(),
            "group": self.group or "",
            "columns": self.columns,
            ("before" if self.backwards else "after"): self.after or ("end" if self.backwards else ""),
            "n": str(self.first) if self.first and (self.after or (self.group and self.first > 1)) else "",
            "open": self.opened,
            "was": self.was,
        }
        return {name: text for name, text in parameters.items() if text}

    def _sorted(self) -> str:
        return ("-" if self.descending else "") + self.sort

    @property
    def path(self) -> str:
        return f"/{quote(self.company)}/{PATHS[self.kind]}"

    def address(self, **changes: Any) -> str:
        """Return the address of this state with changes."""
        state = msgspec.structs.replace(self, **changes) if changes else self
        query = urlencode(state.parameters(), quote_via=quote, safe="/:~*=.,<>!")
        return state.path + (f"?{query}" if query else "")

    def sync_address(self) -> str:
        """Return the address of the sync preview of all these rows."""
        return sync_preview(self.company, {"kind": self.kind, **self.from_start(columns="", group=None).parameters()})

    def from_start(self, **changes: Any) -> "GridState":
        """Return the first page of this state with changes, without a position and an open drawer."""
        return msgspec.structs.replace(self, after="", backwards=False, first=1, opened="", was="", **changes)

    def filtered(self, name: str, text: str) -> "GridState":
        """Return the first page with one filter set; an empty text removes the filter."""
        filters = {**self.filters, name: text}
        return self.from_start(filters={key: value for key, value in filters.items() if value})

    def query(self, window: Window, zone: tzinfo) -> GridQuery:
        """Return the query for the store. Raises `QueryError` naming an invalid filter."""
        conditions = []
        for name, text in self.filters.items():
            try:
                conditions += conditions_of(name, text, zone)
            except QueryError as error:
                raise QueryError("%(column)s: %(problem)s", column=name.replace("_", " "), problem=error) from None
        return GridQuery(
            company=self.company,
            kind=self.kind,
            window=window,
            view=self.view,
            conditions=tuple(conditions),
            search=self.search,
            sort=self.sort,
            descending=self.descending,
            after=_page_key(self.after, self.sort) if self.after else None,
            backwards=self.backwards,
            limit=ROWS,
        )

    def visible_columns(self, saved: str = "") -> list[VisibleColumn]:
        """Return the visible columns: those of the address, else the saved ones, else the default ones."""
        columns = {column.name: column for column in GRIDS[self.kind]}
        visible = []
        for part in (self.columns or saved).split("."):
            name, _, width = part.partition("-")
            if name in columns:
                wide = int(width) if re.fullmatch(r"\d{1,3}", width) else columns[name].width
                visible.append(VisibleColumn(columns[name], min(max(wide, _MIN_WIDTH), _MAX_WIDTH)))
        return visible or [
            VisibleColumn(column, column.width)
            for column in GRIDS[self.kind]
            # A tile is the sum of the amount that its view is about.
            if column.field.visible or column.name == VIEW_PARTS[self.view]
        ]


def read(company: str, kind: Kind, query: Mapping[str, str]) -> GridState:
    """Parse the state of an address. Raises `QueryError` naming the invalid part."""
    sort = query.get("sort", "-date")
    group = query.get("group") or None
    view = query.get("view") or "missing-actuals"
    if view not in BITS:
        raise QueryError("there is no view %(name)r; there are %(names)s.", name=view, names=", ".join(BITS))
    if sort.removeprefix("-") not in SORTS:
        names = ", ".join(SORTS)
        raise QueryError("a grid cannot be sorted by %(name)r; it can by %(names)s.", name=sort, names=names)
    if group is not None and group not in get_args(GroupBy):
        raise QueryError(
            "a grid cannot be grouped by %(name)r; it can by %(names)s.", name=group, names=", ".join(GROUPS)
        )
    before = query.get("before", "")
    number = query.get("n", "")
    after = "" if before == "end" else before or query.get("after", "")
    start, end = dates(query)
    state = GridState(
        company=company,
        kind=kind,
        start=start,
        end=end,
        view=view,
        search=query.get("q", "").strip(),
        filters={name[2:]: text.strip() for name, text in query.items() if name.startswith("f.") and text.strip()},
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        group=cast(GroupBy | None, group),
        columns=query.get("columns", ""),
        after=after,
        backwards=bool(before),
        first=int(number) if re.fullmatch(r"\d{1,9}", number) else (None if after or before else 1),
        opened=query.get("open", ""),
        was=query.get("was", ""),
    )
    for name, text in (*state.filters.items(), ("", state.search)):
        if name and name not in COLUMNS:
            raise QueryError(
                "there is no column %(name)r to filter on; there are %(names)s.", name=name, names=", ".join(COLUMNS)
            )
        if len(text) > FILTER_CHARACTERS_MAX:
            raise QueryError(
                "a filter has at most %(limit)s characters; this one has %(number)s.",
                limit=format(FILTER_CHARACTERS_MAX, ","),
                number=format(len(text), ","),
            )
    return state


def jump_to(state: GridState, text: str) -> GridState:
    """Return the page that begins at a date or an amount. Raises `QueryError` if the text is neither."""
    typed = text.strip()
    if re.fullmatch(r"\d{4}(-\d{2}){0,2}", typed) and "-" in typed:
        start, end = _span(typed)
        value = end if state.descending or state.sort != "date" else start
        state = state if state.sort == "date" else state.from_start(sort="date", descending=True)
        return _at(state, value)
    amount = _amount(typed)
    state = state if state.sort == "amount" else state.from_start(sort="amount", descending=True)
    return _at(state, str(amount))


def _at(state: GridState, value: str) -> GridState:
    key = AFTER_ALL_KEYS if state.descending else ""
    return msgspec.structs.replace(state, after=f"{value}~{key}", backwards=False, first=None, opened="", was="")


def page_key_text(page_key: PageKey) -> str:
    """Return a page key in the format of addresses."""
    value, key = page_key
    return f"{'' if value is None else value}~{key}"


def _page_key(text: str, sort: Sort) -> PageKey:
    value, tilde, key = text.partition("~")
    if not tilde or (sort in ("amount", "since") and not re.fullmatch(r"-?\d{0,18}", value)):
        raise QueryError(
            '"%(text)s" isn\'t a page of a grid sorted by %(name)s. Open the first page again.', text=text, name=sort
        )
    if sort in ("amount", "since"):
        return (int(value) if value else None), key
    return value, key


# --- filters ---------------------------------------------------------------------------------------------------------

_RANGES: Final[Sequence[tuple[str, Operator]]] = ((">=", "from"), ("<=", "to"), (">", "above"), ("<", "below"))


def conditions_of(name: str, text: str, zone: tzinfo) -> list[Condition]:
    """Return the conditions of a filter. Raises `QueryError` with the text and examples."""
    match COLUMNS[name].of:
        case "text":
            return [_of_text(name, text)]
        case "flag":
            if text not in ("yes", "no"):
                raise QueryError('"%(text)s" is neither yes nor no.', text=text)
            return [Condition(name, "is", text)]
        case "amount":
            return _of_range(name, text, lambda part: (_amount(part),) * 2)
        case "date":
            return _of_range(name, text, _span)
        case "number":
            return _of_range(name, text, lambda part: (_number(part),) * 2)
        case _:
            return _of_range(name, text, lambda part: _instants(part, zone))


def _of_text(name: str, text: str) -> Condition:
    if text.startswith("="):
        return Condition(name, "is", text[1:])
    if text.startswith("!"):
        return Condition(name, "not", text[1:])
    if text.startswith("*"):
        return Condition(name, "contains", text.strip("*"))
    # A status is selected from a list, so it matches whole codes.
    return Condition(name, "is" if name == "standing" else "starts", text.removesuffix("*"))


def _of_range(name: str, text: str, read: Callable[[str], tuple[Any, Any]]) -> list[Condition]:
    """Return the conditions of a range; each value may itself be a span: a month is its first to its last day."""
    if text == "=":
        return [Condition(name, "is", "")]
    if ".." in text:
        start, _, end = text.partition("..")
        conditions = []
        if start.strip():
            conditions.append(Condition(name, "from", read(start.strip())[0]))
        if end.strip():
            conditions.append(Condition(name, "to", read(end.strip())[1]))
        return conditions
    for sign, operator in _RANGES:
        if text.startswith(sign):
            first, last = read(text[len(sign) :].strip())
            return [Condition(name, operator, last if operator in ("to", "above") else first)]
    first, last = read(text.removeprefix("=").removeprefix("!").strip())
    if first == last:
        # Equality can use an index.
        return [Condition(name, "not" if text.startswith("!") else "is", first)]
    if text.startswith("!"):
        raise QueryError('"%(text)s" is a range. Use a single value after !. Example: !0.', text=text)
    return [Condition(name, "from", first), Condition(name, "to", last)]


def plain_amount(text: str) -> str:
    """Return an amount of an address in plain digits: commas are accepted as separators of thousands only."""
    digits = text.strip().replace("\u2212", "-")
    return digits.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", digits, re.ASCII) else digits


def _amount(text: str) -> int:
    units = money.units(plain_amount(text))
    if units is None:
        raise QueryError('"%(text)s" isn\'t an amount. Examples: 100, 1000.50, 100..500, >100, <=500.', text=text)
    return units


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise QueryError('"%(text)s" isn\'t a whole number. Examples: 3, 1..4, >=5.', text=text)
    return int(text)


def _span(text: str) -> tuple[str, str]:
    """Return the first and the last day of a day, a month or a year."""
    try:
        if re.fullmatch(r"\d{4}", text, re.ASCII):
            return date.fromisoformat(f"{text}-01-01").isoformat(), f"{text}-12-31"
        if re.fullmatch(r"\d{4}-\d{2}", text, re.ASCII):
            first = date.fromisoformat(f"{text}-01")
            return first.isoformat(), ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).isoformat()
        if text:
            return (day(text),) * 2
    except (ValueError, OverflowError):
        pass
    raise _invalid_date(text)


def _instants(text: str, zone: tzinfo) -> tuple[int, int]:
    start, end = _span(text)
    try:
        following = date.fromisoformat(end) + timedelta(days=1)
    except OverflowError:
        raise _invalid_date(text) from None
    return midnight(date.fromisoformat(start), zone), midnight(following, zone) - 1


def _invalid_date(text: str) -> QueryError:
    return QueryError(
        '"%(text)s" isn\'t a date. Examples: 2024-12-24, 2024-12, 2024-12-01..2024-12-15, >=2024-12-01.', text=text
    )
