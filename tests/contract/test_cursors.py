"""What every keeper of cursors promises."""

import pytest

from engine.cursors import Cursor, Cursors
from store.operational.cursors import SqlCursors
from tests.support.memory_ports import MemoryCursors

ACTUALS = Cursor(
    table="dataverse/msdyn_actual",
    link="https://org.crm4.dynamics.com/api/data/v9.2/msdyn_actuals?$deltatoken=919042%2108%2F22%2F2017",
    began=1_736_359_200_000_000,
    rows=5_000,
    passes=2,
    complete_until=1_736_359_100_000_001,
    fault="GET msdyn_actuals: 503. Try again later.",
)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def cursors(request: pytest.FixtureRequest) -> Cursors:
    if request.param == "memory":
        return MemoryCursors()
    return SqlCursors(request.getfixturevalue(f"{request.param}_store"))


def test_a_table_that_was_never_read_has_none(cursors: Cursors) -> None:
    assert cursors.load("dataverse/msdyn_actual") is None
    assert list(cursors.all()) == []


@pytest.mark.requirement("R9")
def test_a_cursor_comes_back_as_it_was_saved(cursors: Cursors) -> None:
    cursors.save(ACTUALS)
    assert cursors.load(ACTUALS.table) == ACTUALS
    assert cursors.load("finance/TrvExpTrans") is None


def test_the_last_one_saved_counts(cursors: Cursors) -> None:
    cursors.save(ACTUALS)
    later = Cursor(table=ACTUALS.table, rows=1)
    cursors.save(later)
    assert cursors.load(ACTUALS.table) == later


def test_all_are_shown_by_table(cursors: Cursors) -> None:
    for table in ("finance/TrvExpTrans", "dataverse", "dataverse/msdyn_actual"):
        cursors.save(Cursor(table=table))
    assert [cursor.table for cursor in cursors.all()] == ["dataverse", "dataverse/msdyn_actual", "finance/TrvExpTrans"]
