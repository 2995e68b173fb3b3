"""Grids, filters, totals and charts: every database answers the same, and what the documents contain."""

from operator import attrgetter
from typing import Any, Literal, get_args

import msgspec
import pytest
from sqlalchemy import Engine, event, update

from engine.calendar import Window
from engine.errors import QueryError
from engine.reconciliation.documents import Document
from engine.reconciliation.kinds import KINDS
from engine.reconciliation.settlement import is_settled
from store.projection.tile_totals import PROCESSED, Totals, contribution, views_of
from store.queries.account import TOGETHER
from store.queries.filters import COLUMNS, NAME_COLUMNS, Condition
from store.queries.grid_query import AFTER_ALL_KEYS, SORTS, GridQuery
from store.queries.grid_totals import GroupBy, totals
from store.queries.grids import page, page_key
from store.queries.snapshot import Snapshot
from store.schema import tables
from tests.support.small_store import grid_queries
from tests.support.stores import reader


def documents(asked: Snapshot, query: GridQuery) -> list[Document]:
    return [row.document for row in asked.rows(query)]


@pytest.mark.requirement("R33", "R34", "R35", "R81")
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    "condition",
    [
        None,
        Condition("project", "starts", "p-0010"),
        Condition("vendor", "starts", "USPM"),
        Condition("amount", "from", 0),
        Condition("amount", "is", 1_000_000),
    ],
    ids=str,
)
def test_pages_hold_every_row_once_in_order_in_both_directions(
    asked: Snapshot, sort: Any, descending: bool, condition: Condition | None
) -> None:
    for query in grid_queries(
        asked, sort=sort, descending=descending, limit=7, conditions=(condition,) * bool(condition)
    ):
        rows = documents(asked, query)
        every = documents(asked, msgspec.structs.replace(query, sort="date", conditions=()))
        expected = sorted(
            [document for document in every if condition is None or holds(document, condition)],
            key=lambda document: (page_key(document, sort)[0] is not None, *page_key(document, sort)),
            reverse=descending,
        )
        assert [row.key for row in rows] == [row.key for row in expected]
        backwards: list[str] = []
        turned = msgspec.structs.replace(query, backwards=True)
        while True:
            page = asked.page(turned)
            backwards = [row.document.key for row in page.rows] + backwards
            if page.before is None:
                break
            turned = msgspec.structs.replace(turned, after=page.before)
        assert backwards == [row.key for row in rows]


def at(query: GridQuery, value: str | int) -> GridQuery:
    """The page that begins with the first row at or beyond a value of the column that sorts."""
    return msgspec.structs.replace(query, after=(value, AFTER_ALL_KEYS if query.descending else ""))


@pytest.mark.requirement("R35")
def test_a_jump_begins_at_the_place_and_knows_what_stands_before(asked: Snapshot) -> None:
    query = next(query for query in grid_queries(asked) if query.view == "all")
    for value, before in (("2024-06-30", True), ("2025-01-08", False), ("2000-01-01", True)):
        page = asked.page(at(query, value))
        assert all((row.document.date or "") <= value for row in page.rows)
        assert (page.before is not None) == (before and bool(page.rows))
    by_amount = msgspec.structs.replace(query, sort="amount")
    page = asked.page(at(by_amount, 1_000_000))
    first = page.rows[0].document.amounts
    assert first is not None
    assert first.amount == 1_000_000


CONDITIONS = [
    Condition("document", "contains", "pt0003"),
    Condition("standing", "is", "not-approved"),
    Condition("standing", "not", "reconciled"),
    Condition("standing", "is", "settled"),
    Condition("accounting_missing_actual", "above", 0),
    Condition("booked", "from", 1_000_000),
    Condition("exchange_difference", "not", 0),
    Condition("cause", "is", ""),
    Condition("cause", "not", ""),
    Condition("date", "from", "2024-12-01"),
    Condition("date", "below", "2024-06-01"),
    Condition("since", "above", 1_736_300_000_000_000),
    Condition("amount", "is", 1_000_000),
    Condition("amount", "to", 0),
    Condition("amount", "is", ""),
    Condition("amount", "not", ""),
    Condition("missing_journal_line", "above", 0),
    Condition("difference", "not", 0),
    Condition("currency", "is", "EUR"),
    Condition("currency", "not", "USD"),
    Condition("currency", "is", ""),
    Condition("currency", "to", "EUR"),
    Condition("position", "is", "missing-actual"),
    Condition("position", "starts", "MISSING"),
    Condition("cause", "below", "not-posted"),
    Condition("category", "is", "Hotel-Expense"),
    Condition("category", "not", "Hotel-Expense"),
    Condition("category", "starts", "hotel"),
    Condition("category", "starts", "none such"),
    Condition("category", "contains", "a"),
    Condition("voucher", "starts", "uspm-0004"),
    Condition("project", "is", "P-001001-D"),
    Condition("category", "contains", "_"),
    Condition("category", "contains", "%"),
    Condition("journal", "is", ""),
    Condition("exchange_rate", "not", "100"),
    Condition("project_name", "starts", "harbour"),
    Condition("vendor_name", "contains", "STAFF"),
    Condition("line_number", "is", "1"),
    Condition("actual", "is", "yes"),
    Condition("journal_line_amount", "above", 5_000_000),
    Condition("journal_line_amount", "not", 0),
    Condition("journal_line_amount", "is", 0),
    Condition("journal_line_amount", "is", ""),
    Condition("posted_date", "from", "2024-12-01"),
    Condition("posted_date", "is", ""),
    Condition("vendor", "starts", "USPM-0000"),
    Condition("invoice", "contains", "inv"),
    Condition("journal_line_currency", "is", "USD"),
    Condition("last_retried", "is", ""),
    Condition("last_retried", "from", 0),
    Condition("attempts", "is", ""),
    Condition("attempts", "from", 0),
    Condition("journal_voucher", "is", ""),
    Condition("findings", "contains", "written"),
]


@pytest.mark.requirement("R35")
@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda one: f"{one.column} {one.operator} {one.value}")
def test_a_filter_gives_the_rows_that_meet_it_and_their_sums(asked: Snapshot, condition: Condition) -> None:
    for query in grid_queries(asked):
        expected = [document for document in documents(asked, query) if holds(document, condition)]
        filtered = msgspec.structs.replace(query, conditions=(condition,))
        assert [document.key for document in documents(asked, filtered)] == [document.key for document in expected]
        assert asked.totals(filtered) == added_up(expected)
        for by in ("month", "position"):
            groups = {group.value: group.totals for group in asked.groups(filtered, by)}
            in_sums = [document for document in expected if views_of(document) & PROCESSED]
            assert groups == {
                value: added_up([document for document in in_sums if value_of(document, by) == value])
                for value in {value_of(document, by) for document in in_sums}
            }


def value_of(document: Document, column: str) -> Any:
    """What a document has in a column, and what it is grouped by."""
    match column:
        case "standing":
            return document.cause or document.excluded or ("settled" if is_settled(document) else document.position)
        case "month":
            return (document.date or "")[:7]
        case "actual":
            return "yes" if document.has_actual else "no"
        case "findings":
            return " ".join(document.findings)
        case "last_retried" | "attempts":
            return None
        case "journal_line_amount":
            return document.journal_line_amount or 0
        case "amount" | "missing_actual" | "missing_journal_line" | "reconciled" | "difference":
            return getattr(document.amounts, column, None)
        case _ if column.startswith("accounting_") and column != "accounting_currency":
            return getattr(document.accounting, column.removeprefix("accounting_"), None)
        case _:
            return getattr(document, column)


def order(value: Any) -> Any:
    """What dates, times and amounts are compared by."""
    return value if isinstance(value, int) else str(value)


def holds(document: Document, condition: Condition) -> bool:
    """Whether a document meets a condition."""
    held, value = value_of(document, condition.column), condition.value
    text, part = str(held).lower(), str(value).lower()
    if condition.operator in ("is", "not"):
        return ((held in (None, "")) if value == "" else held == value) == (condition.operator == "is")
    if held is None:
        return False
    met: dict[str, bool] = {
        "starts": text.startswith(part),
        "contains": part in text,
        "from": order(held) >= order(value),
        "above": order(held) > order(value),
        "to": order(held) <= order(value),
        "below": order(held) < order(value),
    }
    return met[condition.operator]


def added_up(documents: list[Document]) -> dict[tuple[str, str], Totals]:
    found: dict[tuple[str, str], Totals] = {}
    for document in documents:
        if views_of(document) & PROCESSED:
            key = (document.currency or "", document.accounting_currency or "")
            found[key] = found.get(key, Totals()) + Totals(*contribution(document))
    return found


@pytest.mark.requirement("R33", "R35")
def test_sums_of_a_view_and_of_its_groups_are_those_of_its_rows(asked: Snapshot) -> None:
    for query in grid_queries(asked):
        rows = documents(asked, query)
        assert asked.totals(query) == added_up(rows)
        for by in get_args(GroupBy):
            found = {group.value: group.totals for group in asked.groups(query, by)}
            values = {value_of(document, by) or "" for document in rows if views_of(document) & PROCESSED}
            assert list(found) == sorted(values)
            for value in values:
                assert found[value] == added_up([row for row in rows if (value_of(row, by) or "") == value])


@pytest.mark.requirement("R35")
@pytest.mark.parametrize(
    ("operator", "value"), [("is", "USPM-000"), ("starts", "USPM-0004"), ("starts", "000"), ("starts", "2024-")]
)
@pytest.mark.parametrize("column", NAME_COLUMNS)
def test_an_index_leads_to_the_documents_of_a_name(small_store: Engine, column: str, operator: Any, value: str) -> None:
    with reader(small_store).snapshot() as asked:
        found = grid_queries(asked, conditions=(Condition(column, operator, value),))
        query = next(query for query in found if query.view == "all")
    asked_for: list[tuple[str, Any]] = []
    explain = "EXPLAIN QUERY PLAN" if small_store.dialect.name == "sqlite" else "EXPLAIN"
    with small_store.connect() as connection:
        if small_store.dialect.name == "postgresql":
            # Of forty documents anything leads to them all; so it must use this index or none.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            for index in tables.documents.indexes:
                if column not in str(index.name):
                    index.drop(connection)
        event.listen(connection, "before_cursor_execute", lambda *told: asked_for.append((told[2], told[3])))
        page(connection, query)
        totals(connection, query)
        grids = [one for one in asked_for if "BETWEEN" in one[0] and f".{column}" in one[0]]
        plans = [str(connection.exec_driver_sql(f"{explain} {sql}", values).all()) for sql, values in grids]
    assert plans
    assert all(f"ix_documents_{column}" in plan for plan in plans)
    if small_store.dialect.name == "postgresql":
        assert all(f"Index Cond: ((lower({column}) " in plan for plan in plans)


@pytest.mark.requirement("R33", "R35")
def test_sums_of_a_filter_are_exact_beyond_64_bits(small_store: Engine) -> None:
    with reader(small_store).snapshot() as asked:
        query = next(grid_queries(asked, conditions=(Condition("document", "contains", "PT"),)))
    table, largest = tables.documents, 2**63 - 1
    with small_store.connect() as connection, connection.begin() as transaction:
        before = sum(one.documents for one in totals(connection, query).values())
        connection.execute(update(table).values(reconciled=largest, accounting_reconciled=-largest))
        found = Totals()
        for one in totals(connection, query).values():
            found += one
        transaction.rollback()
    assert before == found.documents > 2
    assert (found.reconciled, found.accounting_reconciled) == (before * largest, -before * largest)


@pytest.mark.requirement("R35")
def test_rows_can_be_asked_for_by_when_they_were_last_tried(small_store: Engine) -> None:
    at = 1_736_300_000_000_000
    texts = ("company", "change", "by", "holder", "last_outcome", "last_text")
    numbers = ("round", "made", "calls", "due", "since", "until")
    usual = {"parameters": "{}", "state": "done", **dict.fromkeys(texts, ""), **dict.fromkeys(numbers, 0)}
    tried = {
        ("USPM/USPM-PT000487", "export"): at - 10,
        ("USPM/USPM-PT000487", "resend"): at,
        ("USPM/USPM-PT000486", "export"): at + 10,
        ("USPM/USPM-PT000485", "export"): None,
    }
    rows = [
        {**usual, "document": name, "subject": name, "action": action, "last_at": last}
        for (name, action), last in tried.items()
    ]
    with reader(small_store).snapshot() as asked:
        query = next(query for query in grid_queries(asked) if query.view == "missing-actuals")

    def found(operator: Any, value: Any) -> list[str]:
        filtered = msgspec.structs.replace(query, conditions=(Condition("last_retried", operator, value),))
        return sorted(
            document.document.removeprefix("USPM/USPM-PT") for document in page(connection, filtered).documents
        )

    with small_store.connect() as connection, connection.begin() as transaction:
        connection.execute(tables.syncs.insert(), rows)
        assert found("from", at) == ["000486", "000487"]
        assert found("above", at) == ["000486"]
        assert found("to", at) == ["000487"]
        assert found("not", "") == ["000486", "000487"]
        untried = found("is", "")
        transaction.rollback()
    assert len(untried) == 38
    assert not {"000486", "000487"} & set(untried)


@pytest.mark.requirement("R35")
def test_a_search_finds_part_of_any_name_whatever_the_case(asked: Snapshot) -> None:
    query = next(query for query in grid_queries(asked, search="pt000487") if query.view == "all")
    assert [document.document for document in documents(asked, query)] == ["USPM/USPM-PT000487"]
    assert documents(asked, msgspec.structs.replace(query, search="100%")) == []


@pytest.mark.requirement("R37")
def test_causes_ages_and_the_trend_add_up_to_the_tiles(asked: Snapshot) -> None:
    company = asked.company("USPM")
    window = asked.window(company, None, None)
    summary = asked.summary(company, window)
    total = sum(tile.amount for tile in summary.tiles.values())
    assert total == 370_000_000
    assert sum(work.amount for work in asked.causes(company, window)) == total
    ages = asked.ageing(company, window)
    assert sum(amount.amount for age in ages for amount in age.by_kind.values()) == total
    for parts in (asked.by_month(company, window), asked.by_project(company, window)):
        assert sum(part.amount for part in parts) == total
    days = asked.trend(company, window)
    assert (days[0].date, days[-1].date) == (window.start, window.end)
    assert days[-1].amount == total + summary.difference.amount
    account = asked.account_parts(company, window).accounts[TOGETHER].parts
    assert account["missing-actual"].amount + account["missing-journal-line"].amount == total
    assert account["amount-difference"].amount == summary.difference.amount


@pytest.mark.requirement("R37")
def test_the_parts_of_each_account_are_what_its_documents_leave_in_it(asked: Snapshot) -> None:
    company = asked.company("USPM")
    window = asked.window(company, None, None)
    accounts = asked.account_parts(company, window).accounts
    earlier = Window("2024-01-18", "2024-02-29")
    for kind in KINDS:
        parts = accounts[kind].parts
        rows, before = (documents(asked, GridQuery(company="USPM", kind=kind, window=one)) for one in (window, earlier))
        assert parts["missing-actual"].amount + parts["missing-journal-line"].amount == sum(map(missing, rows)) > 0
        assert parts["amount-difference"].amount == sum(row.accounting.difference for row in rows if row.accounting)
        assert parts["before-window"].amount == sum(map(missing, before)) > 0
        assert parts["before-window"].count == sum(bool(views_of(row) & 3) for row in before)
    assert [accounts[kind].explained for kind in KINDS] == [92_075_000, 303_050_000]
    # Hours of work are posted by the integration journal as well, through neither account.
    assert accounts[TOGETHER].explained == 92_075_000 + 303_050_000


def missing(document: Document) -> int:
    """What a document leaves in the account, in accounting currency, but for a difference."""
    parts = document.accounting
    return parts.missing_actual + parts.missing_journal_line if parts else 0


@pytest.mark.parametrize("by", ["month", "project"])
@pytest.mark.requirement("R37")
def test_what_is_unreconciled_by_period_and_project_is_what_the_grids_say_in_groups(
    asked: Snapshot, by: Literal["month", "project"]
) -> None:
    company = asked.company("USPM")
    window = asked.window(company, None, None)
    parts = asked.by_month(company, window) if by == "month" else asked.by_project(company, window)
    told = {(part.kind, part.view, part.value): (part.amount, part.documents) for part in parts}
    grouped = {}
    for query in grid_queries(asked):
        if query.view in ("missing-actuals", "missing-journal-lines"):
            part_of = "accounting_" + query.view.replace("-", "_").removesuffix("s")
            for group in asked.groups(query, by):
                sums = group.totals.values()
                amount = sum(getattr(one, part_of) for one in sums)
                grouped[query.kind, query.view, group.value] = (amount, sum(one.documents for one in sums))
    assert told == grouped
    assert len({value for _, _, value in told}) > 1


def test_what_cannot_be_asked_is_named(asked: Snapshot) -> None:
    query = next(grid_queries(asked))
    with pytest.raises(QueryError, match="cannot be filtered on 'luck'"):
        asked.totals(msgspec.structs.replace(query, conditions=(Condition("luck", "is", "1"),)))
    with pytest.raises(QueryError, match="cannot be grouped by 'luck'"):
        asked.groups(query, "luck")  # type: ignore[arg-type]


def test_every_column_says_what_the_document_says(asked: Snapshot) -> None:
    query = next(query for query in grid_queries(asked) if query.view == "all")
    for document in documents(asked, query)[:20]:
        for name, column in COLUMNS.items():
            value = value_of(document, name)
            if value is None and column.of not in ("text", "date"):
                continue  # there is no filter for an amount that is not known
            condition = Condition(name, "is", "" if value is None else value)
            found = documents(asked, msgspec.structs.replace(query, conditions=(condition,)))
            assert document.key in map(attrgetter("key"), found), name
