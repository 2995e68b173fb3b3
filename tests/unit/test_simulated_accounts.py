"""The integration accounts that the large company states: each part, in any window, and the ledger."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from random import Random

import pytest

from engine.reconciliation.account import PARTS
from engine.reconciliation.kinds import KINDS
from tests.unit.test_large_company import Play
from tieout.simulator import Label
from tieout.simulator.amounts import proportion
from tieout.simulator.integration_account import IntegrationAccount
from tieout.simulator.integration_journal import Posting
from tieout.simulator.large import GROUP, TODAY

pytestmark = pytest.mark.requirement("R37")

ALL: tuple[date, date] = (date.min, date.max)
BESIDE = "project-unknown"


@pytest.fixture(scope="module")
def play() -> Play:
    return Play(4_000, seed=3)


def windows() -> Iterator[tuple[date, date]]:
    chance = Random(1)
    yield ALL
    for _ in range(20):
        first = TODAY - timedelta(days=chance.randrange(600))
        yield first, first + timedelta(days=chance.randrange(200))


def explained(account: IntegrationAccount, window: tuple[date, date] = ALL) -> Decimal:
    parts = account.parts(None, window)
    return sum((Decimal(amount) for part, (amount, _) in parts.items() if part != BESIDE), Decimal(0))


def labels_of(play: Play, fault: str) -> list[Label]:
    labels = [label for label in play.labels if label.fault == fault and label.excluded != "other-company"]
    assert labels
    return labels


def test_every_part_occurs_but_entries_that_the_ledger_alone_has(play: Play) -> None:
    told = {
        part
        for account in play.company.accounts().values()
        for window in windows()
        for part in account.parts(None, window)
    }
    assert set(PARTS) - told == {"other-ledger-entry"}
    assert told < set(PARTS)


def test_in_any_window_the_parts_explain_the_ledger(play: Play) -> None:
    accounts = play.company.accounts()
    assert accounts.keys() == {company.code for company in GROUP}
    for account in accounts.values():
        assert account.ledger != 0
        for window in windows():
            assert explained(account, window) == account.ledger, (account.company, window)


def test_what_a_document_booked_is_divided_over_its_parts_and_what_its_lines_cleared(play: Play) -> None:
    for label in play.labels:
        parts = label.accounting_parts
        if label.in_account and label.computable:
            left = parts.missing_actual + parts.missing_journal_line + parts.difference + label.exchange_difference
            assert left == label.booked - label.cleared, label.document
        elif not label.in_account:
            assert label.booked == label.cleared == Decimal(0), label.document


def test_a_posting_whose_account_is_unknown_is_in_both_together_alone(play: Play) -> None:
    account = play.company.accounts()["USPM"]
    of_kinds = [account.parts(kind, ALL)["posting-without-document"][1] for kind in KINDS]
    assert sum(of_kinds) < account.parts(None, ALL)["posting-without-document"][1]


def test_an_account_of_a_kind_has_the_documents_of_the_kind(play: Play) -> None:
    account = play.company.accounts()["GBPM"]
    for part, (amount, count) in account.parts(None, ALL).items():
        if not part.startswith("posting-"):
            of_kinds = [account.parts(kind, ALL).get(part, ("0", 0)) for kind in KINDS]
            assert (sum(Decimal(one) for one, _ in of_kinds), sum(number for _, number in of_kinds)) == (
                Decimal(amount),
                count,
            )


def test_with_recoverable_tax_the_account_holds_the_net_amount(play: Play) -> None:
    own = [label for label in labels_of(play, "recoverable-tax-waits") if label.currency == label.accounting_currency]
    assert own
    assert all(label.booked == label.amount == label.missing_actual for label in own)
    assert proportion(Decimal("119.00"), Decimal("83.34"), Decimal("100.00"), "USD") == Decimal("99.17")


def test_an_actual_with_tax_clears_more_than_was_booked(play: Play) -> None:
    for label in labels_of(play, "actual-with-tax"):
        assert abs(label.cleared) > abs(label.booked)
        assert label.difference < 0


def test_another_rate_at_posting_leaves_an_exchange_difference(play: Play) -> None:
    for fault in ("other-rate", "other-rate-not-written-back"):
        for label in labels_of(play, fault):
            assert label.difference == 0
            assert label.exchange_difference == label.booked - label.cleared < 0


@pytest.mark.parametrize(
    "fault",
    [
        "record-deleted-after-posting",
        "actual-deleted-after-posting",
        "staging-row-deleted-after-posting",
        "journal-line-deleted-after-posting",
        "source-cleared-after-posting",
        "staging-reference-cleared-after-posting",
        "line-reference-cleared-after-posting",
        "external-id-changed-after-posting",
        "transaction-id-changed-after-posting",
        "company-renamed-after-posting",
    ],
)
def test_a_cleared_document_keeps_what_was_posted(play: Play, fault: str) -> None:
    for label in labels_of(play, fault):
        assert label.position == "reconciled"
        assert label.booked == label.cleared != 0


def test_a_document_cancelled_after_posting_has_booked_nothing(play: Play) -> None:
    for label in labels_of(play, "cancelled-after-posting"):
        assert (label.excluded, label.booked, label.cleared) == ("cancelled", Decimal(0), Decimal(0))


def test_what_another_company_posted_is_in_its_account(play: Play) -> None:
    for label in labels_of(play, "posted-elsewhere"):
        assert (label.cause, label.cleared) == ("posted-in-other-company", Decimal(0))
    told = {
        code
        for code, account in play.company.accounts().items()
        if "posted-in-other-company" in account.parts(None, ALL)
    }
    assert len(told) > 1


def test_a_story_that_does_not_say_where_a_foreign_posting_belongs_is_refused() -> None:
    play = Play(1)
    play.company.flow.postings.append(Posting("NOPE", Decimal(1)))
    with pytest.raises(ValueError, match="posted elsewhere"):
        play.company._play_document(date(2025, 1, 8))
