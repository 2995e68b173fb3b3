"""For any history and any delivery there is one state, the one that the rules define."""

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.reconciliation.documents import Amounts
from engine.reconciliation.kinds import KINDS
from store.proof.self_checks import totals_mismatches
from store.queries.grid_query import GridQuery
from store.queries.reader import Reader
from tests.support.histories import deliveries, histories, lookalikes
from tests.support.history_events import COMPANIES
from tests.support.naive_model import NaiveModel
from tests.support.stores import TODAY, Event, canonical, project, reader

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# The members that the naive model computes; the others are texts.
COMPARED = (
    "document", "company", "kind", "position", "excluded", "cause", "amount", "currency", "missing_actual",
    "missing_journal_line", "reconciled", "difference", "accounting_currency", "accounting", "date", "voucher",
    "project", "category", "journal", "journal_voucher", "possible_match",
)  # fmt: skip

KEPT: Final = Path(__file__).parents[1] / "data" / "histories"

VIEWS = ("missing-actuals", "missing-journal-lines", "all", "reconciled")


HISTORIES: Final = histories()


@st.composite
def delivered(
    draw: st.DrawFn, histories: st.SearchStrategy[list[Event]] = HISTORIES
) -> tuple[list[Event], list[Event], list[int]]:
    """A history, one way it can reach us, and the sizes of the batches it comes in."""
    events = draw(histories)
    return events, draw(deliveries(events)), draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))


def kept(name: str) -> tuple[list[Event], list[Event], list[int]]:
    """A history by which engine and naive model once disagreed, as it was found."""
    events = [json.loads(line) for line in (KEPT / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return events, events, [len(events)]


@pytest.mark.requirement("R11", "R12")
@SLOW
@given(delivered())
def test_any_order_repetition_and_batch_size_give_the_same_store(
    case: tuple[list[Event], list[Event], list[int]],
) -> None:
    events, arrived, cuts = case
    assert canonical(project(arrived, cuts)) == canonical(project(events))


@pytest.mark.requirement("R11")
@SLOW
@given(delivered())
def test_decisions_that_are_put_off_come_to_the_same(case: tuple[list[Event], list[Event], list[int]]) -> None:
    """A row with many dependents leaves them to later, a few at a time: here already with two, and one at a time."""
    events, arrived, cuts = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("store.projection.batch_projection.FANOUT", 1)
        patch.setattr("store.projection.writer.FANOUT", 1)
        patch.setattr("store.projection.writer.RECOMPUTED_CHAINS", 1)
        late = canonical(project(arrived, cuts))
    assert late == canonical(project(events))


@pytest.mark.requirement("R10", "R13", "R14", "R15", "R16", "R17", "R22", "R32", "R33", "R34")
@SLOW
@given(delivered())
@example(kept("voucher-on-one-staging-row-line-on-the-other"))
def test_the_naive_model_agrees(case: tuple[list[Event], list[Event], list[int]]) -> None:
    events, arrived, cuts = case
    model = NaiveModel(events)
    questions = reader(project(arrived, cuts))
    with questions.snapshot() as asked:
        known = asked.companies()
    for company in COMPANIES:
        if company in known:
            compare_company(model, questions, company)


@pytest.mark.requirement("R9", "R10", "R11")
@SLOW
@given(delivered(lookalikes()))
def test_lines_that_look_alike_are_paired_as_the_naive_model_does_in_any_order(
    case: tuple[list[Event], list[Event], list[int]],
) -> None:
    events, arrived, cuts = case
    store = project(arrived, cuts)
    assert canonical(store) == canonical(project(events))
    compare_company(NaiveModel(events), reader(store), "USPM")


def compare_company(model: NaiveModel, questions: Reader, company: str) -> None:
    """Every view of both grids and the tiles, as the model has them."""
    with questions.snapshot() as asked:
        window = asked.window(asked.company(company), "2024-01-01", TODAY.isoformat())
        for kind in KINDS:
            for view in VIEWS:
                query = GridQuery(company=company, kind=kind, window=window, view=view, limit=3)  # type: ignore[arg-type]
                shown = sorted((picked(row.as_json()) for row in asked.rows(query)), key=str)
                expected = model.documents(company, kind, view, window.start, window.end)
                assert shown == sorted((picked(row) for row in expected), key=str), (kind, view)
        if asked.company(company).currency is None:
            return  # the tiles are then in the documents' own currency, or refused; the model does not define this
        tiles = asked.summary(asked.company(company), window).as_json()
        told = model.summary(company, window.start, window.end)
        assert {key: tiles[key] for key in tiles if key != "as_of"} == {
            key: told[key] for key in told if key != "as_of"
        }
        # What was not synced, record by record.
        records = list(asked.all_not_synced(asked.company(company)))
        known = sum(one.accounting_amount or 0 for one in records)
        assert (known, len(records)) == msgspec.structs.astuple(
            asked.summary(asked.company(company), window).not_synced
        )


def picked(row: dict[str, Any]) -> dict[str, Any]:
    """Return the members that both sides compute."""
    row.setdefault("possible_match", "possible-match" in row.get("findings", ()))
    return {name: row[name] for name in COMPARED}


@pytest.mark.requirement("R14", "R32", "R33")
@SLOW
@given(delivered())
def test_amounts_add_up_and_tiles_equal_grids(case: tuple[list[Event], list[Event], list[int]]) -> None:
    _, arrived, cuts = case
    with reader(project(arrived, cuts)).snapshot() as asked:
        for code in asked.companies():
            company = asked.company(code)
            window = asked.window(company, "2024-01-01", "2025-12-31")
            # Without the ledger's currency the tiles are in the documents' own, or refused: no sum mixes currencies.
            tiles = None if company.currency is None else asked.summary(company, window).tiles
            for kind, prefix in zip(KINDS, ("expense", "vendor_invoice"), strict=True):
                for view, part in (
                    ("missing-actuals", "missing_actual"),
                    ("missing-journal-lines", "missing_journal_line"),
                ):
                    query = GridQuery(company=code, kind=kind, window=window, view=view)  # type: ignore[arg-type]
                    rows = [row.document for row in asked.rows(query)]
                    if tiles is not None:
                        tile = tiles[f"{prefix}_{part}s"]
                        assert tile.documents == len(rows)
                        assert tile.amount == sum(getattr(row.accounting, part) for row in rows if row.accounting)
                    sums = asked.totals(query).values()
                    assert sum(item.documents for item in sums) == len(rows)
                everything = GridQuery(company=code, kind=kind, window=window)
                for row in asked.rows(everything):
                    assert_adds_up(row.document.position, row.document.amounts)
                    assert_adds_up(row.document.position, row.document.accounting)


@pytest.mark.requirement("R32", "R37")
@SLOW
@given(delivered())
def test_the_sums_kept_by_day_are_those_of_the_documents(case: tuple[list[Event], list[Event], list[int]]) -> None:
    _, arrived, cuts = case
    with project(arrived, cuts).connect() as connection:
        assert list(totals_mismatches(connection)) == []


def assert_adds_up(position: str, amounts: Amounts | None) -> None:
    """R14: the difference is what the three parts leave of the amount; four zeros outside the sums."""
    if amounts is None:
        return
    parts = amounts.missing_actual + amounts.missing_journal_line + amounts.reconciled
    if position in ("excluded", "not-posted"):
        assert (parts, amounts.difference) == (0, 0)
    else:
        assert amounts.amount is not None
        assert amounts.difference == amounts.amount - parts
