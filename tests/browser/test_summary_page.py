"""The summary page: the documented amounts, the dates of the window, and how current the data is."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from store.queries.snapshot import Snapshot
from tests.browser.reading import column, documents, totals
from tests.support.workspace import Served, lines, posted_expense, project, served, settings_in
from tieout.simulator import ingest_lines, simulate

TILES = (
    ("Vendor invoice missing journal lines", "23,000.00", 8),
    ("Vendor invoice missing actuals", "5,000.00", 1),
    ("Expense missing journal lines", "5,000.00", 9),
    ("Expense missing actuals", "4,000.00", 40),
)


@pytest.mark.requirement("R30", "R31", "R32")
def test_the_page_shows_the_documented_amounts(page: Page, served: Served) -> None:
    page.goto(served.address)
    expect(page).to_have_url(f"{served.address}/USPM")
    amounts = page.locator("#amounts")
    for told in (
        "Unreconciled expense amount 9,000.00 USD 49 documents",
        "Unreconciled vendor invoice amount 28,000.00 USD 9 documents",
    ):
        expect(amounts).to_contain_text(told, use_inner_text=True)
    tiles = page.locator("#amounts .tile")
    assert [tile.locator(".caption").text_content() for tile in tiles.all()] == [name for name, _, _ in TILES]
    for tile, (_, amount, number) in zip(tiles.all(), TILES, strict=True):
        expect(tile).to_contain_text(f"{amount} USD")
        expect(tile).to_contain_text(f"{number} document")
    not_synced = "Not synced from Dataverse to Finance 200.00 2 records"
    expect(page.locator("#beside")).to_contain_text(not_synced, use_inner_text=True)
    expect(page.locator("#from")).to_have_value("2024-03-01")
    expect(page.locator("#to")).to_have_value("2025-01-08")
    expect(page.locator("#moment")).to_contain_text("Business date 1/8/2025 (simulated)")
    expect(page.locator("#moment")).to_contain_text("As of ")


@pytest.mark.requirement("R32", "R33", "R34")
@pytest.mark.parametrize(("caption", "amount", "number"), TILES)
def test_a_tile_is_the_sum_of_the_view_behind_it(
    page: Page, served: Served, caption: str, amount: str, number: int
) -> None:
    page.goto(f"{served.address}/USPM")
    page.get_by_role("link", name=caption).click()
    expect(page.locator(".views [aria-current]")).to_have_text(
        "Missing actuals" if caption.endswith("actuals") else "Missing journal lines"
    )
    part = 2 if caption.endswith("actuals") else 3
    assert {currency: (cells[0], cells[part]) for currency, cells in totals(page).items()} == {
        "USD": (str(number), amount),
        "in accounting currency USD": (str(number), amount),
    }
    assert len(documents(page)) == number


@pytest.mark.requirement("R30")
def test_the_window_can_be_set_and_stays(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.locator(".period").click()
    page.fill("#from", "2024-12-01")
    page.fill("#to", "2024-12-31")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#totals")).to_contain_text("Sum")
    assert documents(page) == []
    page.get_by_role("link", name="Missing journal lines").click()
    page.wait_for_url("**view=missing-journal-lines**")
    assert {day.split("/")[0] for day in column(page, "Date")} == {"12"}
    page.get_by_role("link", name="Summary").click()
    expect(page.locator("#from")).to_have_value("2024-12-01")
    page.locator(".period").click()
    page.get_by_role("link", name="Default dates").click()
    expect(page.locator("#from")).to_have_value("2024-03-01")


@pytest.mark.requirement("R30")
def test_without_an_open_period_the_page_says_what_to_do(page: Page, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    events = [line for line in ingest_lines(simulate("small", 1).events) if b"LedgerFiscalCalendarPeriod" not in line]
    project(settings, events)
    with served(settings) as found:
        page.goto(f"{found.address}/USPM")
        expect(page.locator("main")).to_contain_text("select both dates above")
        page.locator(".period").click()
        page.fill("#from", "2024-03-01")
        page.fill("#to", "2025-01-08")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("#amounts")).to_contain_text("9,000.00")


@pytest.mark.requirement("R21")
def test_a_silent_feed_is_told_and_nothing_later_is_called_missing(page: Page, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, today=date(2025, 1, 8))
    events = [
        line.replace(b"2025-01-08T18:00:00Z", b"2025-01-07T06:00:00Z")
        if b"tieout.source.complete" in line and b"/dataverse/" in line
        else line
        for line in ingest_lines(simulate("small", 1).events)
    ]
    project(settings, events)
    with served(settings) as found:
        page.goto(f"{found.address}/USPM/expense")
        notice = page.get_by_role("status").filter(has_text="Feed silent")
        expect(notice).to_contain_text(
            "Data from Dataverse is complete up to 1/7/2025 12:00:00 AM America/Chicago only"
        )
        assert "Feed silent" in column(page, "Status")
        notice.get_by_role("link").click()
        expect(page.locator("#overview")).to_contain_text("Silent feeds")
        expect(page.locator("main")).to_contain_text("Silent")


def test_an_empty_store_says_how_to_begin(page: Page, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project(settings, [])
    with served(settings) as found:
        page.goto(found.address)
        expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()
        page.get_by_role("link", name="View topics").click()
        expect(page.locator("main")).to_contain_text("Lag")


@pytest.mark.requirement("R31", "R32")
def test_a_refresh_tells_what_changed_and_tiles_and_rows_come_from_one_state(page: Page, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project(settings, list(ingest_lines(simulate("small", 1).events)))
    with served(settings) as found:
        page.goto(f"{found.address}/USPM/expense")
        page.get_by_role("link", name="Refresh").click()
        expect(page.get_by_role("status")).to_contain_text("No changes since")
        silent = {**posted_expense("900003", "1.00"), "topic": "finance.changes"}
        silent["value"]["data"].update(operation="delete", columns={})
        project(settings, lines([silent]))
        page.get_by_role("link", name="Refresh").click()
        expect(page.get_by_role("status")).to_contain_text("No amounts changed since")
        expect(page.get_by_role("status")).to_contain_text("1 event received")
        project(settings, lines([posted_expense("900001", "250.00")]))
        page.get_by_role("link", name="Refresh").click()
        expect(page.get_by_role("status")).to_contain_text("Expense missing actuals +250.00 (+1 document)")
        expect(page.locator("#amounts")).to_contain_text("9,250.00")
        assert totals(page)["USD"][:3] == ["41", "4,250.00", "4,250.00"]
        page.goto(f"{found.address}/USPM")
        expect(page.locator("#amounts")).to_contain_text("4,250.00")


@pytest.mark.requirement("R31", "R32", "R80")
def test_what_is_written_while_a_page_is_made_is_not_on_it(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    project(settings, list(ingest_lines(simulate("small", 1).events)))
    asked, later = Snapshot.page, [posted_expense("900004", "250.00")]

    def after_more_has_come(*arguments: Any) -> Any:
        if later:
            project(settings, lines([later.pop()]))
        return asked(*arguments)

    monkeypatch.setattr(Snapshot, "page", after_more_has_come)
    with served(settings) as found:
        for amount, unreconciled, number in (("4,000.00", "9,000.00", 40), ("4,250.00", "9,250.00", 41)):
            page.goto(f"{found.address}/USPM/expense")
            expect(page.locator("#amounts")).to_contain_text(unreconciled)
            assert len(documents(page)) == number
            assert totals(page)["USD"][:3] == [str(number), amount, amount]
            assert later == []
