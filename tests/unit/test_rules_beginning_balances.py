"""An actual dated on or before the cut-off of its company gets no line: its document is excluded (R13)."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import text

from engine.errors import SettingError, StoreMismatch
from engine.reconciliation.beginning_balances import BeginningBalances, beginning_balances
from store.projection.writer import Writer
from tests.support.history_events import Step, row_event
from tests.support.naive_model import NaiveModel
from tests.support.stores import MAPS, memory_store
from tests.support.story import Story, decide
from tieout.settings import load

DOCUMENT = """
    expense   E1   100.00 date=2024-12-20
    record    R1   approved
    actual    A1   100.00 accounting-date=2024-12-31
"""
CUT_OFF = beginning_balances(["USPM=2024-12-31"])
BEGINS, WAITS = "excluded: beginning-balance", "missing-actual: actual-not-synced-back"

CASES = {
    "dated on the cut-off": ("", BEGINS),
    "dated before it": ("actual A1 accounting-date=2024-01-01", BEGINS),
    "dated after it": ("actual A1 accounting-date=2025-01-01", WAITS),
    "by its document date where it has no accounting date": (
        "actual A1 accounting-date= document-date=2024-12-31",
        BEGINS,
    ),
    "the accounting date counts first": ("actual A1 document-date=2025-01-01", BEGINS),
    "without a date": ("actual A1 accounting-date=", WAITS),
    "without an actual, whatever the date of the document": (
        "actual A1 delete",
        "missing-actual: no-actual-made",
    ),
    "in staging, where it stays": ("staging S1", BEGINS),
    "one of two dated after it": ("actual A2 of=R1 accounting-date=2025-01-02", WAITS),
    "both dated before it": ("actual A2 of=R1 accounting-date=2024-12-01", BEGINS),
    "reversed before it": (
        "staging S1\n actual A2 -100.00 of= accounting-date=2024-12-31\n staging S2\n reversal C1 A2 of=A1",
        BEGINS,
    ),
    "posted all the same": ("staging S1 voucher=PJ-1", "reconciled"),
    "without a project": ("expense E1 project=", "excluded: no-project"),
    "of sales": ("actual A1 type=unbilled-sales", "missing-actual: no-actual-made"),
}


def events(story: Story) -> list[dict[str, Any]]:
    """Return the events of a story as the naive model reads them."""
    found = []
    for number, change in enumerate(story.changes):
        columns = {name: value for name, value in change.columns.items() if name != "@company"}
        company = change.columns.get("@company")
        step = Step(change.source, change.entity, change.id, columns, company, delete=change.operation == "delete")
        found.append(row_event(step, number, datetime.fromtimestamp(change.evidence.at / 1e6, UTC)))
    return found


@pytest.mark.requirement("R13")
@pytest.mark.parametrize(("table", "standing"), CASES.values(), ids=CASES.keys())
def test_a_document_whose_actuals_are_all_before_the_cut_off_is_excluded(table: str, standing: str) -> None:
    story = decide(f"{DOCUMENT}{table}", beginning=CUT_OFF)
    assert story.status == standing
    if standing == BEGINS:
        assert story.parts == "0.00 0.00 0.00 0.00"
    model = NaiveModel(events(story), {"USPM": date(2024, 12, 31)})
    (row,) = model.documents("USPM", "expense")
    assert (row["position"], row["excluded"]) == (story.document.position, story.document.excluded)


@pytest.mark.parametrize("older", [False, True])
def test_a_store_is_written_under_the_cut_off_dates_that_it_was_built_under(older: bool) -> None:
    engine = memory_store()
    Writer(engine, MAPS, None)
    if older:  # of a version that did not know the setting
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM settings WHERE name LIKE 'beginning%'"))
    with pytest.raises(StoreMismatch, match=r"TIEOUT_BEGINNING_BALANCE.*\(none\)"):
        Writer(engine, MAPS, None, beginning=CUT_OFF)
    Writer(engine, MAPS, None)


@pytest.mark.parametrize(
    ("entries", "excluded"),
    [
        (["2024-12-31"], True),
        (["uspm=2024-12-31"], True),
        (["GBPM=2024-12-31"], False),
        (["2023-12-31", "USPM=2024-12-31"], True),
        (["2024-12-31", "USPM=2023-12-31"], False),
        ([], False),
    ],
)
def test_a_cut_off_is_that_of_the_company_or_of_all(entries: list[str], excluded: bool) -> None:
    found = decide(DOCUMENT, beginning=beginning_balances(entries)).document
    assert (found.excluded == "beginning-balance") == excluded


def test_a_setting_lists_companies_or_one_date() -> None:
    settings = load({"TIEOUT_BEGINNING_BALANCE": "ardo=2024-12-31, BRIM=2025-03-31,2023-12-31"})
    assert settings.beginning_balances == BeginningBalances({"ARDO": "2024-12-31", "BRIM": "2025-03-31"}, "2023-12-31")
    assert str(settings.beginning_balances) == "ARDO=2024-12-31, BRIM=2025-03-31, 2023-12-31"
    assert str(load({}).beginning_balances) == "none"


@pytest.mark.parametrize(
    "value", ["ARDO", "ARDO=31.12.2024", "ARDO=2024-02-30", "=2024-12-31", "A=2024-12-31,A=2024-12-30", "20241231"]
)
def test_what_is_no_cut_off_is_refused_with_what_to_write(value: str) -> None:
    with pytest.raises(SettingError, match=r"TIEOUT_BEGINNING_BALANCE: .* Write COMPANY=YYYY-MM-DD"):
        load({"TIEOUT_BEGINNING_BALANCE": value})
