"""After Refresh, and after anything else that the script loads, a page equals what the server sends for its address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.reading import settled
from tests.support.workspace import (
    JOURNAL,
    Served,
    demonstrated,
    lines,
    posted_expense,
    project,
    reported,
)
from tools.screenshots import PAGES

WITHOUT_REFRESH = ("checks", "event", "error-delete", "unknown")
"""The self-checks run again by a button of their own; an event does not change; a question is answered once; and of an
address that leads nowhere there is nothing to load.
"""
FEW = ("balance-compared", "expense-grouped-many", "expense-all", "drawer-findings")
"""Of their templates others are looked at."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """A workspace whose store a test may change."""
    with demonstrated(tmp_path) as found:
        yield found


def refresh(page: Page) -> None:
    page.get_by_role("link", name="Refresh").click()
    settled(page)


@pytest.mark.parametrize("name", [name for name in PAGES if name not in (*WITHOUT_REFRESH, *FEW)])
def test_every_text_of_a_page_is_replaced_by_a_refresh(page: Page, served: Served, name: str) -> None:
    page.goto(served.address + PAGES[name])
    refresh(page)  # from here on the address has the amounts to compare with
    address, main, moment = page.url, page.locator("main"), page.locator("#moment")
    page.goto(address)
    told = main.inner_text()
    for part in (main, moment):
        part.evaluate(
            """(part) => {
                const texts = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
                while (texts.nextNode())
                    if (texts.currentNode.data.trim() && texts.currentNode.data !== "Refresh")
                        texts.currentNode.data = "old";
            }"""
        )
    page.evaluate("() => { window.loaded = true; }")
    page.evaluate("() => dispatchEvent(new PopStateEvent('popstate'))")
    settled(page)
    assert page.evaluate("() => window.loaded"), "the page was opened, not swapped"
    assert main.inner_text() == told
    expect(moment).to_contain_text("Business date 1/8/2025")
    expect(moment).to_contain_text("As of ")
    expect(moment).not_to_contain_text("old")


CHANGED = {
    "/USPM": "4,250.00",
    "/USPM/expense": "900001",
    "/USPM/expense?view=all&group=month": "250.00",
    "/USPM/expense?open=USPM/USPM-PT000487": "900001",
    "/USPM/balance": "4,250.00",
    "/USPM/errors": "J-900002",
    "/USPM/general-journals": "J-900003",
    f"/USPM/errors/history?process=integration-journal-posting&about={JOURNAL}": "The journal is locked.",
    "/operation?company=USPM": "1",
    "/operation/rejected?company=USPM": "2 events",
}


def test_after_a_refresh_a_page_equals_a_fresh_load_of_its_address(page: Page, own: Served) -> None:
    tabs = {path: page.context.new_page() for path in CHANGED}
    for path, tab in tabs.items():
        tab.goto(own.address + path)
    said = (
        reported(31, "2025-01-08T13:00:00Z", "integration-journal-posting", "J-900002", "The journal is locked."),
        reported(32, "2025-01-08T13:00:00Z", "general-journal-sync", "J-900003", "No."),
        reported(33, "2025-01-08T13:00:00Z", "integration-journal-posting", JOURNAL, "The journal is locked."),
    )
    rejected = {"topic": "finance.changes", "value": {"not": "one either"}}
    project(own.settings, lines([posted_expense("900001", "250.00"), *said, rejected]))
    for path, tab in tabs.items():
        before = tab.locator("main").inner_text()
        refresh(tab)
        after = tab.locator("main").inner_text()
        assert after != before, path
        assert CHANGED[path] in after, path
        page.goto(tab.url)
        assert after == page.locator("main").inner_text(), path


def test_a_refresh_keeps_focus_scroll_position_and_opened_details(page: Page, own: Served) -> None:
    page.goto(f"{own.address}/USPM/errors")
    page.locator("tr", has_text="BILLED_MISMATCH").get_by_text("Recommended action").click()
    said = reported(31, "2025-01-08T13:00:00Z", "integration-journal-posting", "J-900002", "The journal is locked.")
    project(own.settings, lines([said]))
    page.get_by_role("link", name="Refresh").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".errors")).to_contain_text("J-900002")
    expect(page.locator(":focus")).to_have_text("Refresh")
    opened = page.locator("tr", has=page.locator("details[open]"))
    expect(opened).to_have_count(1)
    expect(opened).to_contain_text("BILLED_MISMATCH")

    page.goto(f"{own.address}/USPM/expense?view=all")
    page.locator("#grid").evaluate("(grid) => { grid.scrollTop = 200; }")
    project(own.settings, lines([posted_expense("900001", "250.00")]))
    refresh(page)
    expect(page.locator("#grid")).to_contain_text("900001")
    assert page.locator("#grid").evaluate("(grid) => grid.scrollTop") >= 200
    page.locator("#grid a.row").nth(2).click()
    page.locator("#drawer summary").first.click()
    refresh(page)
    expect(page.locator("#drawer details[open]")).to_have_count(1)


def test_what_is_typed_and_not_sent_goes_with_another_state_of_the_page(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?f.voucher=USPM")
    page.get_by_label("Filter Project ID").fill("P-00")
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url("**/expense")
    settled(page)
    expect(page.get_by_label("Filter Voucher", exact=True)).to_have_value("")
    expect(page.get_by_label("Filter Project ID")).to_have_value("")
    page.go_back()
    expect(page.get_by_label("Filter Voucher", exact=True)).to_have_value("USPM")
