"""The lists behind the account reconciliation, on each database: each adds up to its number, page by page."""

from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from engine.reconciliation.account import PARTS
from engine.reconciliation.kinds import KINDS, Kind
from store.queries.account import TOGETHER, PartRow
from store.queries.snapshot import Snapshot


def total(rows: list[PartRow]) -> tuple[int, int]:
    return sum(row.amount or 0 for row in rows), len(rows)


@pytest.mark.requirement("R37")
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_the_rows_of_each_part_add_up_to_it(asked: Snapshot, kind: Kind | None) -> None:
    company = asked.company("USPM")
    for window in (asked.window(company, None, None), asked.window(company, "2024-06-01", "2024-12-31"), None):
        parts = asked.account_parts(company, window).accounts[kind or TOGETHER].parts
        for name in PARTS:
            rows = list(asked.part_rows(company, window, name, kind))
            assert total(rows) == (parts[name].amount, parts[name].count), name


@pytest.mark.requirement("R37")
def test_the_rows_of_a_reason_of_exclusion_add_up_to_it(asked: Snapshot) -> None:
    company = asked.company("USPM")
    excluded = asked.account_parts(company).excluded
    assert {one.reason for one in excluded} == {"cancelled", "intercompany-cost", "no-project", "skip-sync"}
    for one in excluded:
        assert total(list(asked.excluded_rows(company, one.reason))) == (one.amount, one.documents)


@pytest.mark.requirement("R37")
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_the_rows_of_a_month_add_up_to_what_was_booked_and_cleared_in_it(asked: Snapshot, kind: Kind | None) -> None:
    company = asked.company("USPM")
    months = asked.roll_forward(company, kind)
    assert len(months) == 13
    for month in months:
        assert total(list(asked.booked_rows(company, month.start, kind)))[0] == month.booked
        assert total(list(asked.cleared_rows(company, month.start, kind)))[0] == month.cleared
    assert months[-1].closing == asked.account_parts(company).accounts[kind or TOGETHER].explained


@pytest.mark.requirement("R37")
def test_pages_of_a_list_hold_each_row_once_in_one_order(asked: Snapshot) -> None:
    company = asked.company("USPM")
    window = asked.window(company, None, None)
    lists: list[Callable[[str | None], Iterator[PartRow]]] = [
        lambda after: asked.part_rows(company, window, "missing-actual", None, after),
        lambda after: asked.part_rows(company, window, "before-window", None, after),
        lambda after: asked.cleared_rows(company, "2024-12", None, after),
        lambda after: asked.booked_rows(company, "2024-12", None, after),
    ]
    for rows_after in lists:
        expected = [row.id for row in rows_after(None)]
        assert len(expected) > 5
        found, after = [], None
        while page := list(islice(rows_after(after), 5)):
            found += [row.id for row in page]
            after = page[-1].place
        assert found == expected
