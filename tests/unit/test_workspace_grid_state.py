"""Addresses, filters and files: parsed as written, and refused with valid examples."""

from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendar import Window
from engine.errors import QueryError
from engine.reconciliation.kinds import TILES, Kind
from store.projection.tile_totals import BITS
from store.queries.filters import COLUMNS, Condition
from store.queries.grid_query import SORTS
from store.queries.grid_totals import GroupBy
from store.queries.summary import Amount, Summary
from tieout.texts import ENGLISH
from tieout.workspace.web import refresh_diff
from tieout.workspace.web.csv_export import safe
from tieout.workspace.web.grid_columns import GRIDS
from tieout.workspace.web.grid_state import GridState, conditions_of, jump_to, read
from tieout.workspace.web.locales import preferred

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(str.strip).filter(bool)
DAYS = st.dates().map(lambda day: day.isoformat()) | st.just("")


@st.composite
def states(draw: st.DrawFn) -> GridState:
    turned = draw(st.booleans())
    return GridState(
        company="USPM",
        kind=draw(st.sampled_from(get_args(Kind))),
        start=draw(DAYS),
        end=draw(DAYS),
        view=draw(st.sampled_from(list(BITS))),
        search=draw(WORDS | st.just("")),
        filters=draw(st.dictionaries(st.sampled_from(list(COLUMNS)), WORDS, max_size=3)),
        sort=draw(st.sampled_from(SORTS)),
        descending=draw(st.booleans()),
        group=draw(st.sampled_from([None, *get_args(GroupBy)])),
        after=draw(WORDS.filter(lambda text: text != "end")) if turned else "",
        backwards=turned and draw(st.booleans()),
        first=draw(st.none() | st.integers(1, 10**6)) if turned else 1,
        opened=draw(WORDS | st.just("")),
    )


@pytest.mark.requirement("R35")
@given(states())
def test_an_address_says_all_of_a_state(state: GridState) -> None:
    parts = urlsplit(state.address())
    assert read("USPM", state.kind, dict(parse_qsl(parts.query))) == state


@pytest.mark.requirement("R35")
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("voucher", "US", [("starts", "US")]),
        ("voucher", "US*", [("starts", "US")]),
        ("voucher", "*463", [("contains", "463")]),
        ("voucher", "=USPM-1", [("is", "USPM-1")]),
        ("voucher", "!USPM-1", [("not", "USPM-1")]),
        ("voucher", "=", [("is", "")]),
        ("standing", "draft", [("is", "draft")]),
        ("actual", "yes", [("is", "yes")]),
        ("amount", "100", [("is", 1_000_000)]),
        ("amount", "!0", [("not", 0)]),
        ("amount", "=", [("is", "")]),
        ("amount", "1,000.50", [("is", 10_005_000)]),
        ("amount", "-5..5", [("from", -50_000), ("to", 50_000)]),
        ("amount", "..5", [("to", 50_000)]),
        ("amount", ">5", [("above", 50_000)]),
        ("amount", "<=5", [("to", 50_000)]),
        ("date", "2024-02-03", [("is", "2024-02-03")]),
        ("date", "!2024-02-03", [("not", "2024-02-03")]),
        ("date", "2024-02", [("from", "2024-02-01"), ("to", "2024-02-29")]),
        ("date", "2024", [("from", "2024-01-01"), ("to", "2024-12-31")]),
        ("date", ">2024-12", [("above", "2024-12-31")]),
        ("date", "<2024-12", [("below", "2024-12-01")]),
        ("date", "2024-12-01..2024-12-15", [("from", "2024-12-01"), ("to", "2024-12-15")]),
        ("since", ">=2025-01-07", [("from", 1_736_208_000_000_000)]),
        ("since", "2025-01-07", [("from", 1_736_208_000_000_000), ("to", 1_736_294_399_999_999)]),
    ],
)
def test_a_filter_means_what_the_page_says_it_means(name: str, text: str, expected: list[Any]) -> None:
    assert conditions_of(name, text, UTC) == [Condition(name, *part) for part in expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("amount", "much"),
        ("amount", "1,00"),
        ("amount", "1e3x"),
        ("date", "24.12.2024"),
        ("date", "2024-13"),
        ("date", "2024-02-30"),
        ("date", "!2024"),
        ("since", "yesterday"),
        ("since", ">"),
        ("since", "9999"),
        ("date", "9999-12"),
        ("date", "0000"),
        ("actual", "maybe"),
    ],
)
def test_a_filter_that_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(QueryError, match=text.split("-")[0]):
        conditions_of(name, text, UTC)


def test_a_jump_to_an_amount_sorts_by_it() -> None:
    state = GridState(company="USPM", kind="expense")
    assert jump_to(state, "2024-06").after.startswith("2024-06-30~")
    found = jump_to(state, "1,000")
    assert (found.sort, found.descending, found.after.partition("~")[0]) == ("amount", True, "10000000")


@pytest.mark.requirement("R35")
def test_both_grids_have_columns_that_can_all_be_filtered() -> None:
    for columns in GRIDS.values():
        assert {column.name for column in columns} <= COLUMNS.keys()
        assert len({column.name for column in columns}) == len(columns)


@pytest.mark.parametrize(
    ("language", "amount", "day", "time"),
    [
        ("en-US,en;q=0.9", "−1,234,567.50", "1/8/2025", "1/8/2025 1:07:05 PM"),
        ("en-GB", "−1,234,567.50", "08/01/2025", "08/01/2025 13:07:05"),
        ("de-DE,de;q=0.9,en;q=0.8", "−1.234.567,50", "08.01.2025", "08.01.2025 13:07:05"),
        ("de-CH", "−1'234'567.50", "08.01.2025", "08.01.2025 13:07:05"),
        ("fr;q=0.5, sv", "−1\xa0234\xa0567,50", "2025-01-08", "2025-01-08 13:07:05"),
        ("", "−1,234,567.50", "2025-01-08", "2025-01-08 13:07:05"),
        ("en-IN", "−12,34,567.50", "08/01/2025", "08/01/2025 1:07:05 PM"),
        ("en-XX,en;q=0.9", "−1,234,567.50", "2025-01-08", "2025-01-08 13:07:05"),
        ("ar", "−1,234,567.50", "2025-01-08", "2025-01-08 1:07:05 PM"),
        ("en", "−1,234,567.50", "1/8/2025", "1/8/2025 1:07:05 PM"),
        ("x;q=high,*", "−1,234,567.50", "2025-01-08", "2025-01-08 13:07:05"),
    ],
)
def test_numbers_and_dates_follow_the_language(language: str, amount: str, day: str, time: str) -> None:
    locale = preferred(language)
    assert locale.amount(-12_345_675_000, "USD") == amount
    assert locale.day("2025-01-08") == day
    assert locale.time(datetime(2025, 1, 8, 13, 7, 5, tzinfo=UTC), UTC) == time


@pytest.mark.requirement("R35")
@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+2", "'=1+2"),
        ("+1", "'+1"),
        ("-1+2", "'-1+2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-100.00", "-100.00"),
        ("USPM-000463", "USPM-000463"),
        ("", ""),
        (None, ""),
        (7, "7"),
    ],
)
def test_no_cell_of_a_file_is_a_formula(value: Any, cell: str) -> None:
    assert safe(value) == cell


def test_what_changed_is_told_from_what_the_address_kept() -> None:
    def summary(amount: int, documents: int, unsynced: int = 0) -> Summary:
        tiles = {name: Amount(0, 0) for name in (tile.name for tile in TILES)} | {
            "expense_missing_actuals": Amount(amount, documents)
        }
        window = Window("2024-03-01", "2025-01-08")
        at = datetime(2025, 1, 8, tzinfo=UTC)
        nothing = Amount(0, 0)
        return Summary("USPM", window, "USD", at, {}, tiles, nothing, nothing, Amount(unsynced, 1))

    was = refresh_diff.encode(summary(1_000_000, 1), 100)
    found = refresh_diff.changes_since(was, summary(-500_000, 3, 7), 103, ENGLISH)
    assert found is not None
    assert found.changes == [
        refresh_diff.Change("Expense missing actuals", -1_500_000, 2),
        refresh_diff.Change("Not synced from Dataverse to Finance", 7, 0),
    ]
    assert found.events == 3
    assert refresh_diff.changes_since(was, summary(1_000_000, 1), 100, ENGLISH) == refresh_diff.Since(
        datetime(2025, 1, 8, tzinfo=UTC), [], 0
    )
    assert refresh_diff.changes_since("yesterday", summary(0, 0), 0, ENGLISH) is None
