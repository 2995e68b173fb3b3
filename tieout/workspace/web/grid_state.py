"""Every state of a grid is an address: read from one, and written as one (R35).

    /USPM/expense?view=missing-actuals&f.project=P-001*&sort=-amount&group=month

What a person types into a filter is what stands in the address (amounts and dates in plain digits, `typed`):

| text | `abc` or `abc*` begins with, `*abc` contains, `=abc` is, `!abc` is not, `=` is empty |
| amount | `100`, `100..500`, `>100`, `<=500`, `!0` is not |
| number | `3`, `1..4`, `>=5`, `=` is none |
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
from engine.reconciliation.documents import Kind
from store.projection.tile_totals import BITS, View
from store.queries.filters import COLUMNS, Condition, Operator
from store.queries.grid_query import AFTER_ALL_KEYS, SORTS, GridQuery, PageKey, Sort
from store.queries.grid_totals import GROUPS, GroupBy
from tieout.workspace.web.grid_columns import GRIDS, Column

ROWS: Final = 50
"""Rows of a page: two screens of them, and under 50 kB."""

PATHS: Final[dict[Kind, str]] = {"expense": "expense", "vendor-invoice-line": "vendor-invoice-lines"}
VIEWS: Final[dict[Kind, dict[View, str]]] = {
    "expense": {
        "missing-actuals": "Missing actuals",
        "missing-journal-lines": "Missing journal lines",
        "all": "All expenses",
        "reconciled": "All reconciled expenses",
    },
    "vendor-invoice-line": {
        "missing-actuals": "Missing actuals",
        "missing-journal-lines": "Missing journal lines",
        "all": "All vendor invoices",
        "reconciled": "All reconciled vendor invoices",
    },
}

FILTER_CHARACTERS_MAX: Final = 1_000
"""Of a filter or a search; no name is as long, and SQLite refuses a pattern of 50,000."""

_MIN_WIDTH: Final = 4
_MAX_WIDTH: Final = 80


def day(text: str) -> str:
    """A date of an address; '' stays ''. Raises `QueryError`, saying how to write one."""
    try:
        if text and (not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) or not date.fromisoformat(text)):
            raise ValueError
    except ValueError:
        raise _no_date(text) from None
    return text


def dates(query: Mapping[str, str]) -> tuple[str, str]:
    """The two dates of an address, each '' where it has none. Raises `QueryError`, saying how to write one."""
    return day(query.get("from", "")), day(query.get("to", ""))


def sync_preview(company: str, query: Mapping[str, str]) -> str:
    """The address of the preview of a sync of what the query chooses."""
    text = urlencode({name: value for name, value in query.items() if value}, quote_via=quote)
    return f"/{quote(company, safe='')}/sync/preview" + (f"?{text}" if text else "")


class Shown(msgspec.Struct, frozen=True):
    """A column that is shown, and how wide, in characters."""

    column: Column
    width: int


class GridState(msgspec.Struct, frozen=True, kw_only=True):
    """A state of a grid, as its address has it."""

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
    """The number of the first row or group, None when it is not known."""
    opened: str = ""
    """The document in the drawer."""
    was: str = ""

    def parameters(self) -> dict[str, str]:
        """What stands in the query of the address; what is as at first is left out."""
        found = {
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
        return {name: text for name, text in found.items() if text}

    def _sorted(self) -> str:
        return ("-" if self.descending else "") + self.sort

    @property
    def path(self) -> str:
        return f"/{quote(self.company)}/{PATHS[self.kind]}"

    def address(self, **changes: Any) -> str:
        """The address of this state, or of one that differs."""
        state = msgspec.structs.replace(self, **changes) if changes else self
        query = urlencode(state.parameters(), quote_via=quote, safe="/:~*=.,<>!")
        return state.path + (f"?{query}" if query else "")

    def sync_address(self) -> str:
        """The address of the preview of a sync of all these rows."""
        return sync_preview(self.company, {"kind": self.kind, **self.from_start(columns="", group=None).parameters()})

    def from_start(self, **changes: Any) -> "GridState":
        """The first page of a state that differs: what turns pages and opens drawers is left behind."""
        return msgspec.structs.replace(self, after="", backwards=False, first=1, opened="", was="", **changes)

    def filtered(self, name: str, text: str) -> "GridState":
        """The first page with one filter set, or with an empty text without it."""
        filters = {**self.filters, name: text}
        return self.from_start(filters={key: value for key, value in filters.items() if value})

    def query(self, window: Window, zone: tzinfo) -> GridQuery:
        """What to ask of the store. Raises `QueryError`, naming the filter that cannot be read."""
        conditions = []
        for name, text in self.filters.items():
            try:
                conditions += conditions_of(name, text, zone)
            except QueryError as error:
                raise QueryError(f"{name.replace('_', ' ')}: {error}") from None
        return GridQuery(
            company=self.company,
            kind=self.kind,
            window=window,
            view=self.view,
            conditions=tuple(conditions),
            search=self.search,
            sort=self.sort,
            descending=self.descending,
            after=_place(self.after, self.sort) if self.after else None,
            backwards=self.backwards,
            limit=ROWS,
        )

    def shown(self, kept: str = "") -> list[Shown]:
        """The columns that are shown: those of the address, else those somebody kept, else those shown at first."""
        known = {column.name: column for column in GRIDS[self.kind]}
        found = []
        for part in (self.columns or kept).split("."):
            name, _, width = part.partition("-")
            if name in known:
                wide = int(width) if re.fullmatch(r"\d{1,3}", width) else known[name].width
                found.append(Shown(known[name], min(max(wide, _MIN_WIDTH), _MAX_WIDTH)))
        return found or [Shown(column, column.width) for column in GRIDS[self.kind] if column.at_first]


def read(company: str, kind: Kind, query: Mapping[str, str]) -> GridState:
    """The state of an address. Raises `QueryError`, saying which part cannot be read."""
    sort = query.get("sort", "-date")
    group = query.get("group") or None
    view = query.get("view") or "missing-actuals"
    if view not in BITS:
        raise QueryError(f"there is no view {view!r}; there are {', '.join(BITS)}.")
    if sort.removeprefix("-") not in SORTS:
        raise QueryError(f"a grid cannot be sorted by {sort!r}; it can by {', '.join(SORTS)}.")
    if group is not None and group not in get_args(GroupBy):
        raise QueryError(f"a grid cannot be grouped by {group!r}; it can by {', '.join(GROUPS)}.")
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
        sort=cast(Sort, sort.removeprefix("-")),
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
            raise QueryError(f"there is no column {name!r} to filter on; there are {', '.join(COLUMNS)}.")
        if len(text) > FILTER_CHARACTERS_MAX:
            raise QueryError(f"a filter has at most {FILTER_CHARACTERS_MAX:,} characters; this one has {len(text):,}.")
    return state


def jumped(state: GridState, text: str) -> GridState:
    """The page that begins at a date or an amount. Raises `QueryError` when it is neither."""
    typed = text.strip()
    if re.fullmatch(r"\d{4}(-\d{2}){0,2}", typed) and "-" in typed:
        start, end = _span(typed)
        place = end if state.descending or state.sort != "date" else start
        state = state if state.sort == "date" else state.from_start(sort="date", descending=True)
        return _at(state, place)
    amount = _amount(typed)
    state = state if state.sort == "amount" else state.from_start(sort="amount", descending=True)
    return _at(state, str(amount))


def _at(state: GridState, value: str) -> GridState:
    key = AFTER_ALL_KEYS if state.descending else ""
    return msgspec.structs.replace(state, after=f"{value}~{key}", backwards=False, first=None, opened="", was="")


def place_text(place: PageKey) -> str:
    """A row's place as an address has it."""
    value, key = place
    return f"{'' if value is None else value}~{key}"


def _place(text: str, sort: Sort) -> PageKey:
    value, tilde, key = text.partition("~")
    if not tilde or (sort in ("amount", "since") and not re.fullmatch(r"-?\d{0,18}", value)):
        raise QueryError(f'"{text}" isn\'t a page of a grid sorted by {sort}. Open the first page again.')
    if sort in ("amount", "since"):
        return (int(value) if value else None), key
    return value, key


# --- filters ---------------------------------------------------------------------------------------------------------

_RANGES: Final[Sequence[tuple[str, Operator]]] = ((">=", "from"), ("<=", "to"), (">", "above"), ("<", "below"))


def conditions_of(name: str, text: str, zone: tzinfo) -> list[Condition]:
    """The conditions that a filter's text means. Raises `QueryError`, naming the text and what to write."""
    match COLUMNS[name].of:
        case "text":
            return [_of_text(name, text)]
        case "flag":
            if text not in ("yes", "no"):
                raise QueryError(f'"{text}" is neither yes nor no.')
            return [Condition(name, "is", text)]
        case "amount":
            return _of_range(name, text, lambda part: (_amount(part),) * 2)
        case "date":
            return _of_range(name, text, _span)
        case "number":
            return _of_range(name, text, lambda part: (_number(part),) * 2)
        case _:
            return _of_range(name, text, lambda part: _moments(part, zone))


def _of_text(name: str, text: str) -> Condition:
    if text.startswith("="):
        return Condition(name, "is", text[1:])
    if text.startswith("!"):
        return Condition(name, "not", text[1:])
    if text.startswith("*"):
        return Condition(name, "contains", text.strip("*"))
    # An amount of words is chosen from a list, and is meant whole.
    return Condition(name, "is" if name == "standing" else "starts", text.removesuffix("*"))


def _of_range(name: str, text: str, read: Callable[[str], tuple[Any, Any]]) -> list[Condition]:
    """A range of values, each of which may itself stand for a span: a month is from its first day to its last."""
    if text == "=":
        return [Condition(name, "is", "")]
    if ".." in text:
        start, _, end = text.partition("..")
        found = []
        if start.strip():
            found.append(Condition(name, "from", read(start.strip())[0]))
        if end.strip():
            found.append(Condition(name, "to", read(end.strip())[1]))
        return found
    for sign, operator in _RANGES:
        if text.startswith(sign):
            first, last = read(text[len(sign) :].strip())
            return [Condition(name, operator, last if operator in ("to", "above") else first)]
    first, last = read(text.removeprefix("=").removeprefix("!").strip())
    if first == last:
        # By value: an index may lead to it.
        return [Condition(name, "not" if text.startswith("!") else "is", first)]
    if text.startswith("!"):
        raise QueryError(f'"{text}" is a range. Use a single value after !. Example: !0.')
    return [Condition(name, "from", first), Condition(name, "to", last)]


def plain(text: str) -> str:
    """An amount of an address in plain digits: commas count only where they part thousands."""
    digits = text.strip().replace("\u2212", "-")
    return digits.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", digits, re.ASCII) else digits


def _amount(text: str) -> int:
    found = money.units(plain(text))
    if found is None:
        raise QueryError(f'"{text}" isn\'t an amount. Examples: 100, 1000.50, 100..500, >100, <=500.')
    return found


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise QueryError(f'"{text}" isn\'t a whole number. Examples: 3, 1..4, >=5.')
    return int(text)


def _span(text: str) -> tuple[str, str]:
    """The first and the last day of a day, a month or a year."""
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
    raise _no_date(text)


def _moments(text: str, zone: tzinfo) -> tuple[int, int]:
    start, end = _span(text)
    try:
        following = date.fromisoformat(end) + timedelta(days=1)
    except OverflowError:
        raise _no_date(text) from None
    return midnight(date.fromisoformat(start), zone), midnight(following, zone) - 1


def _no_date(text: str) -> QueryError:
    return QueryError(f'"{text}" isn\'t a date. Examples: 2024-12-24, 2024-12, 2024-12-01..2024-12-15, >=2024-12-01.')
