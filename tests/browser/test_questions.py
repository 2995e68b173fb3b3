"""An accountant's questions, each answered in at most four clicks from the first page."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.reading import column, documents, settled, totals
from tests.support.workspace import Served
from tieout.workspace.pages import balance

CLICKS = 4


class Person:
    """A user who clicks links and counts the clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, name: str, within: str = "main") -> None:
        """Click the first link of a name."""
        self.clicks += 1
        self.page.locator(within).get_by_role("link", name=name).first.click()
        settled(self.page)

    def told(self, text: str, within: str = "main") -> None:
        """Read it on the page."""
        expect(self.page.locator(within)).to_contain_text(text, use_inner_text=True)


def why_is_the_expense_integration_account_nine_thousand(person: Person) -> None:
    person.told("Unreconciled expense amount 9,000.00")
    person.told("Expense missing journal lines 5,000.00")
    person.told("Expense missing actuals 4,000.00")
    person.click("Account reconciliation")
    # The columns are the number of items, Expense, Vendor invoices and Together.
    for told in (
        "Missing journal lines ?\t17\t5,000.00\t23,000.00\t28,000.00",
        "Missing actuals ?\t41\t4,000.00\t5,000.00\t9,000.00",
        "Amount differences ?\t1\t12.50\t0.00\t12.50",
        "Documents before the window ?\t6\t195.00\t2,305.00\t2,500.00",
        "Explained balance\t\t9,207.50\t30,305.00\t39,512.50",
    ):
        person.told(told, "#balance")
    person.click("Missing journal lines, Expense: 5,000.00", "#balance")
    person.told("5,000.00 USD in 9 items.")
    person.click("Show in Expense")
    assert totals(person.page)["USD"][3] == "5,000.00"


def which_step_lost_the_expense(person: Person) -> None:
    person.click("Expense missing actuals")
    person.click("USPM/USPM-PT000487")
    person.told("The actual was created in Dataverse.", "#drawer")
    person.told("It has not reached Finance's staging table.", "#drawer .timeline .missing")


def what_should_i_do_first(person: Person) -> None:
    first = person.page.locator("section", has_text="Next actions").locator("tbody tr").first
    expect(first).to_contain_text("8,000.00")
    expect(first).to_contain_text("Run Import from staging for the company.")
    person.click("Not imported from staging")
    assert totals(person.page)["USD"][0] == "1"
    assert column(person.page, "Line amount") == ["8,000.00"]


def how_old_is_the_oldest(person: Person) -> None:
    person.click("Account reconciliation")
    person.told("91–180 days\t400.00", "#balance")
    person.click("91–180 days", "#balance")
    person.told("Expense missing journal lines 400.00 USD 1 document", "#amounts")
    person.click("Expense missing journal lines", "#amounts")
    assert column(person.page, "Date") == ["9/30/2024"]


def what_changed_since_yesterday(person: Person) -> None:
    person.told("Expense changed since 1/7/2025 Missing actual 4,000.00 40 documents")
    person.click("Expense changed since 1/7/2025")
    assert set(column(person.page, "Status")) >= {"Not synced to Dataverse", "Not approved"}
    assert totals(person.page)["USD"][0] == "40"
    assert len(documents(person.page)) >= 40


@pytest.mark.requirement("R20", "R36", "R37")
@pytest.mark.parametrize(
    "question",
    [
        why_is_the_expense_integration_account_nine_thousand,
        which_step_lost_the_expense,
        what_should_i_do_first,
        how_old_is_the_oldest,
        what_changed_since_yesterday,
    ],
    ids=lambda question: question.__name__,
)
def test_a_question_is_answered_in_at_most_four_clicks(
    page: Page, served: Served, question: Callable[[Person], None]
) -> None:
    page.goto(served.address)
    person = Person(page)
    question(person)
    assert person.clicks <= CLICKS


@pytest.mark.requirement("R37")
def test_the_remainder_of_the_ledgers_balance_is_shown(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    expect(page.locator(".explained")).to_contain_text("Enter the ledger balance")
    page.get_by_label("Ledger balance").fill("39,600.00")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**ledger=**")
    expect(page.locator(".explained")).to_contain_text("Unexplained difference\t\t\t\t87.50", use_inner_text=True)
    assert page.locator("svg.chart").count() == 1
    assert page.locator("svg.bar").count() == 6


@pytest.mark.requirement("R37")
def test_many_projects_are_summed_up_after_the_largest_and_lead_to_the_grid_in_groups(
    page: Page, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance, "LISTED", 2)
    page.goto(f"{served.address}/USPM/balance")
    projects = page.get_by_role("region", name="By project")
    expect(projects.locator("tbody tr")).to_have_count(3)
    others = projects.get_by_role("row", name="2 others")
    expect(others).to_contain_text("12,600.00")
    expect(others.locator("td").nth(1)).to_have_text("50")
    others.get_by_role("link", name="Expense, missing actuals").click()
    page.wait_for_url("**group=project**")
    expect(settled(page).locator("#grid")).to_contain_text("P-001000-D")
