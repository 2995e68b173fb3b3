"""The law of conservation: for any history, every cent booked or cleared is in exactly one named part."""

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select

from engine import money
from engine.calendar import Window
from engine.reconciliation.account import BESIDE, PARTS
from store.proof.self_checks import account_mismatches
from store.queries.account import TOGETHER
from store.queries.reader import Reader
from store.schema import tables
from tests.property.test_history import delivered
from tests.support.history_events import COMPANIES
from tests.support.naive_account import NaiveAccount
from tests.support.naive_values import shown
from tests.support.soak import examples
from tests.support.stores import Event, project, reader

# Each example is projected, and computed by the naive model.
SLOW = settings(
    deadline=None,
    max_examples=examples(40),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

WINDOW = Window("2024-07-01", "2025-01-08")


@pytest.mark.requirement("R37")
@SLOW
@given(delivered())
def test_each_posting_is_counted_by_the_document_or_in_the_part_that_the_naive_model_finds(
    case: tuple[list[Event], list[Event], list[int]],
) -> None:
    events, arrived, cuts = case
    engine = project(arrived, cuts)
    with engine.connect() as connection:
        stored = connection.execute(select(tables.postings)).all()
        names = dict(connection.execute(select(tables.documents.c.key, tables.documents.c.document)).all())
    told = sorted(
        (row.key.split(":", 2)[1], row.company, row.part, names.get(row.document, ""), _text(row.amount, row.currency))
        for row in stored
    )
    expected = sorted(
        (
            posting.key[0],
            posting.company or "",
            posting.part,
            posting.document.name if posting.document else "",
            shown(posting.amount, posting.currency) if posting.amount is not None else "unknown",
        )
        for posting in NaiveAccount(events).postings()
    )
    assert told == expected


def _text(amount: int | None, currency: str) -> str:
    return "unknown" if amount is None else money.text(amount, currency or None)


@pytest.mark.requirement("R37")
@SLOW
@given(delivered())
def test_the_parts_add_up_to_what_was_booked_less_what_was_cleared(
    case: tuple[list[Event], list[Event], list[int]],
) -> None:
    events, arrived, cuts = case
    model = NaiveAccount(events)
    store = project(arrived, cuts)
    with store.connect() as connection:
        assert list(account_mismatches(connection)) == []
    questions = reader(store)
    for company in COMPANIES:
        expected = model.booked_less_cleared(company)
        for window in (WINDOW, None):
            told = explained(questions, company, window)
            if told is not None:
                assert money.text(told[0], told[1]) == shown(expected, told[1])


def explained(questions: Reader, code: str, window: Window | None) -> tuple[int, str] | None:
    """Return the explained balance of both accounts and its currency; None for a company without a ledger, whose
    amounts may be in several currencies.
    """
    with questions.snapshot() as asked:
        if code not in asked.companies() or (company := asked.company(code)).currency is None:
            return None
        parts = asked.account_parts(company, window)
        moved = asked.roll_forward(company)
        for kind in (None, "expense", "vendor-invoice-line"):
            account = parts.accounts[kind or TOGETHER]
            for name in PARTS:
                rows = list(asked.part_rows(company, window or WINDOW, name, kind)) if window is not None else None
                if rows is not None:
                    part = account.parts[name]
                    assert (len(rows), sum(row.amount or 0 for row in rows)) == (part.count, part.amount), name
        assert company.currency == parts.currency
        total = parts.accounts[TOGETHER].explained
        assert (moved[-1].closing if moved else 0) == total
        assert total == sum(part.amount for name, part in parts.accounts[TOGETHER].parts.items() if name != BESIDE)
        return total, company.currency
