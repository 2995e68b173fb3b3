"""Addresses and filters that are invalid or match nothing name the reason and the remedy."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.reading import column, documents
from tests.support.workspace import Served


def test_no_rows_say_why_and_offer_a_way_on(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?f.voucher=nothing")
    expect(page.locator("#grid")).to_contain_text("No rows match your filters in this view.")
    page.get_by_role("link", name="Clear filters").click()
    page.wait_for_url("**/expense")
    assert len(documents(page)) == 40
    page.goto(f"{served.address}/USPM/expense?from=2024-03-01&to=2024-03-01")
    expect(page.locator("#grid")).to_contain_text("No rows in the view Missing actuals from 3/1/2024 to 3/1/2024.")


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/USPM/nowhere", 404, "There is no page at /USPM/nowhere."),
        ("/FRRT", 404, "There is no company 'FRRT' here; known are GBPM, USPM."),
        ("/USPM/document/none", 404, "There is no document 'USPM/none'"),
        ("/event/tieout.finance.changes/0/999999", 404, "There is no event at"),
        ("/event/no.topic/0/1", 404, "There is no event at"),
        ("/USPM/expense?view=some", 400, "There is no view 'some'"),
        ("/USPM/expense?sort=voucher", 400, "cannot be sorted by 'voucher'"),
        ("/USPM/expense?group=luck", 400, "cannot be grouped by 'luck'"),
        ("/USPM/expense?f.luck=1", 400, "There is no column 'luck'"),
        ("/USPM/expense?from=yesterday", 400, '"yesterday" isn\'t a date. Examples: 2024-12-24'),
        ("/USPM/balance?ledger=much", 400, '"much" isn\'t an amount'),
        ("/USPM/account/luck", 404, "There is no part 'luck' of an account; there are missing-actual,"),
        ("/USPM/account/missing-actual?account=cash", 400, "There is no account 'cash'"),
        ("/USPM/account/booked?month=June", 400, '"June" isn\'t a month. Example: 2024-12.'),
        ("/USPM/errors?sort=luck", 400, "cannot be sorted by 'luck'"),
    ],
)
def test_a_bad_address_is_told_with_what_would_be_right(
    page: Page, served: Served, path: str, status: int, told: str
) -> None:
    answer = page.goto(served.address + path)
    assert answer is not None
    assert answer.status == status
    expect(page.locator("main")).to_contain_text(told)
    page.get_by_role("link", name="Go to workspace").click()
    expect(page.locator("#amounts")).to_be_visible()


@pytest.mark.requirement("R35")
def test_what_cannot_be_read_is_told_where_the_rows_were_and_can_be_mended(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/vendor-invoice-lines?view=all&f.voucher=USPM")
    field = page.get_by_label("Filter Line amount")
    field.fill("much")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text('Line amount: "much" isn\'t an amount. Example: 1,000.50.')
    expect(page.locator("#totals")).to_have_count(0)
    assert documents(page) == []
    expect(page.locator(":focus")).to_have_value("much")
    expect(page.locator(".tags")).to_contain_text("Voucher")
    page.keyboard.press("Control+A")
    page.keyboard.type("8,000")
    page.keyboard.press("Enter")
    page.wait_for_url("**f.amount=8000**")
    assert column(page, "Line amount") == ["8,000.00"]
    page.get_by_label("Jump to").fill("never")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text('"never" isn\'t an amount.')
    expect(page.locator(":focus")).to_have_value("never")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("f.amount=much", 'Amount: "much" isn\'t an amount. Examples: 100'),
        ("f.date=2024-13", 'Date: "2024-13" isn\'t a date. Examples: 2024-12-24'),
        ("after=nonsense", '"nonsense" isn\'t a page of a grid'),
        ("at=never", '"never" isn\'t an amount. Example: 1,000.50.'),
    ],
)
def test_an_address_whose_rows_cannot_be_asked_for_keeps_its_grid(
    page: Page, served: Served, query: str, told: str
) -> None:
    answer = page.goto(f"{served.address}/USPM/expense?{query}")
    assert answer is not None
    assert answer.status == 400
    expect(page.get_by_role("alert")).to_contain_text(told)
    page.get_by_role("link", name="Clear filters").click()
    page.wait_for_url("**/expense")
    assert len(documents(page)) == 40
