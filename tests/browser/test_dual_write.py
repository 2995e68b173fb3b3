"""The Dual-write pages as a person uses them, on the company of the documented screenshots."""

import csv
import io
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from store.queries.snapshot import Snapshot
from tests.browser.reading import column, documents, headers, settled, totals
from tests.support.workspace import Served, lines, posted_expense, project, served, settings_in
from tieout.bootstrap import open_log
from tieout.simulator import ingest_lines, simulate
from tieout.workspace.pages import grid
from tieout.workspace.web.grid_columns import GRIDS

EXPENSE = (
    "Expense category",
    "Date",
    "Amount",
    "Currency",
    "Exchange rate",
    "Voucher",
    "Project ID",
    "Project name",
    "Actual",
    "Journal",
    "Journal line amount",
    "Journal voucher",
    "Currency",
    "Posted date",
    "Last retried date",
)
INVOICE = (
    "Vendor account",
    "Name",
    "Invoice date",
    "Vendor Invoice",
    "Line number",
    "Line amount",
    "Currency",
    "Voucher",
    "Project ID",
    "Project name",
    "Actual",
    "Journal",
    "Journal line amount",
    "Currency",
    "Exchange rate",
    "Journal voucher",
    "Posted date",
    "Last retried date",
)
TILES = (
    ("Vendor invoice missing journal lines", "23,000.00", 8),
    ("Vendor invoice missing actuals", "5,000.00", 1),
    ("Expense missing journal lines", "5,000.00", 9),
    ("Expense missing actuals", "4,000.00", 40),
)


# --- summary ---------------------------------------------------------------------------------------------------------


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
    tiles = page.locator("#tiles .tile")
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
        "USD": (str(number), amount)
    }
    assert len(documents(page)) == number


@pytest.mark.requirement("R30")
def test_the_window_can_be_set_and_stays(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
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
    page.get_by_role("link", name="Default dates").click()
    expect(page.locator("#from")).to_have_value("2024-03-01")


# --- grids -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R33", "R34")
@pytest.mark.parametrize(
    ("path", "documented", "views"),
    [
        ("expense", EXPENSE, ["Missing actuals", "Missing journal lines", "All expenses", "All reconciled expenses"]),
        (
            "vendor-invoice-lines",
            INVOICE,
            ["Missing actuals", "Missing journal lines", "All vendor invoices", "All reconciled vendor invoices"],
        ),
    ],
)
def test_columns_and_views_are_the_documented_ones_in_their_order(
    page: Page, served: Served, path: str, documented: tuple[str, ...], views: list[str]
) -> None:
    page.goto(f"{served.address}/USPM/{path}")
    found = headers(page)
    assert tuple(found[2 : 2 + len(documented)]) == documented
    assert page.locator(".views a").all_text_contents() == views


@pytest.mark.requirement("R33", "R34")
def test_formats_are_the_documented_ones(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    assert set(column(page, "Date")) == {"1/8/2025"}
    assert set(column(page, "Amount")) == {"100.00"}
    assert set(column(page, "Exchange rate")) == {"100.000000000000"}
    assert set(column(page, "Journal line amount")) == {"0.00"}
    assert set(column(page, "Actual")) == {"Missing"}
    page.goto(f"{served.address}/USPM/vendor-invoice-lines")
    assert column(page, "Line number") == ["1.0000000000"]
    assert column(page, "Line amount") == ["5,000.00"]


FILTERS = {
    "expense": {
        "document": ("*PT000487", "Document", r".*PT000487"),
        "category": ("flight", "Expense category", r"Flight-Expense"),
        "date": ("2025-01", "Date", r"1/\d+/2025"),
        "amount": (">=1,000", "Amount", r"\d+,\d{3}\.\d\d"),
        "currency": ("=EUR", "Currency", r"EUR"),
        "exchange_rate": ("!100", "Exchange rate", r"(?!100\.0)\d+\.\d{12}"),
        "voucher": ("USPM-00048", "Voucher", r"USPM-00048\d"),
        "project": ("=P-001001-D", "Project ID", r"P-001001-D"),
        "project_name": ("*extension", "Project name", r"Harbour extension"),
        "journal": ("USPM-0000*", "Journal", r"USPM-0000\d\d"),
        "journal_line_amount": (">500", "Journal line amount", r"[\d,]{3,}\.\d\d"),
        "journal_voucher": ("=", "Journal voucher", r""),
        "posted_date": ("2024-12", "Posted date", r"12/\d+/2024"),
        "since": (">=2025-01-07", "Since", r"1/[78]/2025 .*"),
        "findings": ("amount-differs", "Findings", r"amount-differs"),
        "journal_line_currency": ("=EUR", "Currency", r"EUR"),
        "missing_actual": (">0", "Missing actual", r"[1-9].*"),
        "missing_journal_line": (">0", "Missing journal line", r"[1-9].*"),
        "reconciled": (">1,000", "Reconciled", r"\d,\d{3}\.\d\d"),
        "difference": ("!0", "Difference", r"12\.50"),
    },
    "vendor-invoice-lines": {
        "vendor": ("=USPM-000011", "Vendor account", r"USPM-000011"),
        "vendor_name": ("fab", "Name", r"Fabrikam Electronics"),
        "date": ("2024-11-01..2024-12-31", "Invoice date", r"1[12]/\d+/2024"),
        "invoice": ("Inv", "Vendor Invoice", r"Inv.*"),
        "line_number": ("1", "Line number", r"1\.0000000000"),
        "document": ("*PT0010", "Document", r".*PT0010\d\d"),
        "amount": (">=5,000", "Line amount", r"\d+,\d{3}\.\d\d"),
        "currency": ("=EUR", "Currency", r"EUR"),
        "exchange_rate": ("108", "Exchange rate", r"108\.0{12}"),
        "voucher": ("uspm-110002", "Voucher", r"USPM-110002\d"),
        "project": ("=P-001001-D", "Project ID", r"P-001001-D"),
        "project_name": ("*extension", "Project name", r"Harbour extension"),
        "journal": ("USPM-00012", "Journal", r"USPM-00012\d"),
        "journal_line_amount": (">500", "Journal line amount", r"[\d,]{3,}\.\d\d"),
        "journal_voucher": ("=", "Journal voucher", r""),
        "journal_line_currency": ("=EUR", "Currency", r"EUR"),
        "posted_date": ("2024-12", "Posted date", r"12/\d+/2024"),
        "since": (">=2024-12", "Since", r"(12/\d+/2024|1/\d/2025) .*"),
        "missing_actual": ("5,000", "Missing actual", r"5,000\.00"),
        "missing_journal_line": (">0", "Missing journal line", r"[1-9].*"),
        "reconciled": ("!0", "Reconciled", r"[1-9].*"),
    },
}


@pytest.mark.requirement("R35")
@pytest.mark.parametrize("path", FILTERS)
def test_each_column_filters(page: Page, served: Served, path: str) -> None:
    every = ".".join(one.name for one in GRIDS["expense" if path == "expense" else "vendor-invoice-line"])
    for name, (typed, title, pattern) in FILTERS[path].items():
        page.goto(f"{served.address}/USPM/{path}?view=all&columns={every}")
        everything = settled(page).locator("#totals").text_content()
        field = page.locator(f'#grid [name="f.{name}"]')
        field.fill(typed)
        field.press("Enter")
        expect(page.locator(".chips")).to_contain_text(typed)
        found = column(page, title)
        assert found, name
        assert [text for text in found if not re.fullmatch(pattern, text)] == [], name
        assert settled(page).locator("#totals").text_content() != everything, name


@pytest.mark.requirement("R35")
def test_documents_that_nobody_tried_to_sync_are_found_by_that(page: Page, served: Served) -> None:
    for typed, number in (("=", 40), (">=2024-01", 0)):
        page.goto(f"{served.address}/USPM/expense")
        page.get_by_label("Filter Last retried date").fill(typed)
        page.keyboard.press("Enter")
        page.wait_for_url("**f.last_retried=**")
        assert len(documents(page)) == number


@pytest.mark.requirement("R35")
def test_the_lists_of_status_and_actual_filter_on_selection(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.get_by_label("Filter Status", exact=True).select_option("not-approved")
    page.wait_for_url("**f.standing=not-approved**")
    assert set(column(page, "Status")) == {"Not approved"}
    assert totals(page)["USD"][:2] == ["10", "1,000.00"]
    page.goto(f"{served.address}/USPM/expense?view=all")
    page.get_by_label("Filter Actual").select_option("yes")
    page.wait_for_url("**f.actual=yes**")
    assert set(column(page, "Actual")) == {"Present"}
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url("**/expense?view=all")


@pytest.mark.requirement("R35")
def test_the_quick_filter_finds_part_of_a_voucher_whatever_the_case(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.keyboard.press("/")
    page.keyboard.type("pt000487")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=pt000487**")
    assert documents(page) == ["USPM/USPM-PT000487"]
    assert totals(page)["USD"][0] == "1"


@pytest.mark.requirement("R35")
def test_sorting_by_amount_goes_both_ways_and_is_an_address(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=missing-journal-lines")

    def amounts() -> list[float]:
        return [float(text.replace(",", "")) for text in column(page, "Amount")]

    page.get_by_role("columnheader", name="Amount").first.get_by_role("link").click()
    page.wait_for_url("**sort=-amount**")
    assert amounts() == sorted(amounts(), reverse=True)
    page.get_by_role("columnheader", name="Amount").first.get_by_role("link").click()
    page.wait_for_url("**sort=amount**")
    assert amounts() == sorted(amounts())
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    page.go_back()
    page.wait_for_url("**sort=-amount**")
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "descending")


@pytest.mark.requirement("R35")
def test_groups_have_subtotals_that_make_the_total_and_open_their_rows(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=missing-journal-lines")
    page.get_by_label("Group by").select_option("project")
    page.wait_for_url("**group=project**")
    cells = [row.locator("td").all_text_contents() for row in settled(page).locator("#grid tbody tr").all()]
    assert sum(int(row[1]) for row in cells) == 9
    assert sum(float(row[4].replace(",", "")) for row in cells) == 5_000
    assert totals(page)["USD"][3] == "5,000.00"
    name = documents(page)[0]
    number = int(cells[0][1])
    page.get_by_role("link", name=name).click()
    page.wait_for_url("**f.project=**")
    assert set(column(page, "Project ID")) == {name}
    assert len(documents(page)) == number


@pytest.mark.requirement("R35")
def test_a_filter_on_a_column_that_is_not_shown_stays_with_whatever_else_is_asked(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all&f.difference=!0")
    assert totals(page)["USD"][0] == "1"
    for group in ("month", "project"):
        page.get_by_label("Group by").select_option(group)
        page.wait_for_url(f"**group={group}**")
        assert totals(page)["USD"][0] == "1"
    page.locator("#search").fill("pt")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=pt**")
    assert totals(page)["USD"][0] == "1"
    page.goto(f"{served.address}/USPM/expense?view=all&group=position")
    page.get_by_role("link", name="Missing actual", exact=True).click()
    page.wait_for_url("**f.position=**")
    page.get_by_label("Filter Amount").fill(">50")
    page.keyboard.press("Enter")
    page.wait_for_url("**f.amount=**")
    assert "f.position=" in page.url
    assert totals(page)["USD"][0] == "40"


def test_a_month_that_a_filter_cuts_is_no_link_to_more_rows_than_it_sums(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all&group=month&f.date=>=2024-12-18")
    expect(page.locator("#grid tbody")).to_contain_text("December 2024")
    expect(page.locator("#grid tbody a")).to_have_count(0)


def test_other_dates_keep_the_view_and_the_filters_that_were_chosen_meanwhile(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.get_by_role("link", name="All expenses").click()
    page.wait_for_url("**view=all")
    page.get_by_label("Filter Amount").fill(">50")
    page.keyboard.press("Enter")
    page.wait_for_url("**f.amount=**")
    page.fill("#from", "2024-12-01")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**from=2024-12-01**")
    assert "view=all" in page.url
    assert "f.amount=" in page.url


@pytest.mark.requirement("R35")
def test_many_groups_are_paged_and_their_file_has_all(
    page: Page, context: BrowserContext, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "GROUPS_LISTED", 3)
    path = f"{served.address}/USPM/expense%s?view=all&group=month"
    text = context.request.get(path % ".csv").text()
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    months = list(dict.fromkeys(row["Month"] for row in rows))
    assert len(months) > 6
    page.goto(path % "")
    found = [documents(page)]
    expect(page.locator(".pages")).to_contain_text(f"Groups 1–3 of {len(months)}")
    for first in range(4, len(months) + 1, 3):
        page.get_by_role("link", name="Next").click()
        page.wait_for_url(f"**n={first}**")
        found.append(documents(page))
    assert page.get_by_role("link", name="Next").count() == 0
    assert len([name for names in found for name in names]) == len(months)
    assert all(len(names) == 3 for names in found[:-1])
    page.get_by_role("link", name="Previous").click()
    page.wait_for_url(f"**n={len(months) - len(found[-1]) - 2}**")
    assert documents(page) == found[-2]
    page.get_by_role("link", name="First").click()
    page.wait_for_url("**group=month")
    assert documents(page) == found[0]
    with_amounts = [row for row in rows if row["Currency"] == "USD"]
    assert all(re.fullmatch(r"-?\d+\.\d\d", row["Amount"]) for row in with_amounts)
    cells = [row.locator("td").all_text_contents() for row in settled(page).locator("#grid tbody tr").all()]
    shown = [cell[2].replace(",", "") for cell in cells if cell[0] == "USD"]
    assert shown
    assert shown == [row["Amount"] for row in with_amounts][: len(shown)]


@pytest.mark.requirement("R33", "R35")
def test_paging_goes_to_the_end_and_back_and_meets_every_row_once(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all")
    seen = [documents(page)]
    while settled(page).locator("a[data-page=after]").count():
        first = seen[-1][0]
        page.locator("a[data-page=after]").click()
        expect(page.locator("#grid a.row").first).not_to_have_text(first)
        seen.append(documents(page))
    expect(page.locator(".pages")).to_contain_text("Rows 101–118")
    every = [name for rows in seen for name in rows]
    assert (len(every), len(set(every))) == (118, 118)
    for rows in seen[-2::-1]:
        page.locator("a[data-page=before]").click()
        expect(page.locator("#grid a.row").first).to_have_text(rows[0])
        assert documents(page) == rows
    page.locator("a[data-page=last]").click()
    expect(page.locator("#grid a.row").last).to_have_text(every[-1])
    page.locator("a[data-page=first]").click()
    expect(page.locator("#grid a.row").first).to_have_text(every[0])
    page.go_back()
    expect(page.locator("#grid a.row").last).to_have_text(every[-1])


@pytest.mark.requirement("R35")
def test_one_can_go_to_a_date_and_to_an_amount(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all")
    page.get_by_label("Jump to").fill("2024-06-30")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator("#grid tbody tr").first).to_contain_text("6/")
    assert column(page, "Date")[0].startswith("6/")
    assert settled(page).locator("a[data-page=before]").count() == 1
    page.get_by_label("Jump to").fill("100")
    page.get_by_role("button", name="Go", exact=True).click()
    page.wait_for_url("**sort=-amount**")
    assert column(page, "Amount")[0] == "100.00"
    page.get_by_label("Jump to").fill("soon")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text('"soon" isn\'t an amount')


@pytest.mark.requirement("R35")
def test_chosen_columns_and_widths_are_kept_and_come_back(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.locator(".choose summary").click()
    page.get_by_label("Exchange rate", exact=True).uncheck()
    page.get_by_label("Missing actual", exact=True).check()
    page.get_by_label("Width of Voucher").fill("30")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**columns=**")
    page.goto(f"{served.address}/USPM/expense")
    assert "Exchange rate" not in headers(page)
    assert "Missing actual" in headers(page)
    width = page.locator("th[data-column=voucher]").bounding_box()
    assert width is not None
    assert width["width"] > 220
    edge = page.locator("th[data-column=voucher] .resize").bounding_box()
    assert edge is not None
    page.mouse.move(edge["x"] + 3, edge["y"] + 5)
    page.mouse.down()
    page.mouse.move(edge["x"] - 97, edge["y"] + 5, steps=4)
    page.mouse.up()
    page.wait_for_url("**voucher-17**")
    page.goto(f"{served.address}/USPM/expense")
    narrowed = page.locator("th[data-column=voucher]").bounding_box()
    assert narrowed is not None
    assert 130 < narrowed["width"] < 165
    page.locator(".choose summary").click()
    page.get_by_role("button", name="Reset to default").click()
    page.wait_for_url("**/expense")
    assert "Exchange rate" in headers(page)


def test_the_key_that_leads_to_the_filter_can_be_turned_off_for_good(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    turn = page.get_by_role("button", name="/ Filter")
    expect(turn).to_have_attribute("aria-pressed", "true")
    turn.click()
    page.goto(f"{served.address}/USPM/expense?view=all")
    expect(turn).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("/")
    expect(page.locator("#search")).not_to_be_focused()
    turn.click()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()


def test_the_arrows_move_the_grid_sideways(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    grid = page.locator("#grid")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.getElementById('grid').scrollLeft > 0")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.getElementById('grid').scrollLeft === 0")
    expect(grid).to_be_visible()


def test_the_keyboard_moves_through_rows_pages_and_the_drawer(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all")
    names = documents(page)

    def focused() -> str | None:
        return page.locator(":focus").text_content()

    page.keyboard.press("ArrowDown")
    assert focused() == names[0]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert focused() == names[1]
    page.keyboard.press("End")
    assert focused() == names[-1]
    page.keyboard.press("Home")
    assert focused() == names[0]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_be_focused()
    expect(page.locator("#drawer h2")).to_have_text(names[1])
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_have_count(0)
    expect(page.locator(":focus")).to_have_text(names[1])
    page.keyboard.press("PageDown")
    expect(page.locator(".pages")).to_contain_text("Rows 51–100")
    expect(page.locator(":focus")).to_have_class("row")
    page.keyboard.press("PageUp")
    expect(page.locator(".pages")).to_contain_text("Rows 1–50")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()


# --- drill-down ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R20", "R36")
def test_a_row_leads_to_its_chain_and_each_fact_down_to_the_bytes_of_its_event(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.get_by_role("link", name="USPM/USPM-PT000487").click()
    drawer = page.locator("#drawer")
    expect(drawer).to_contain_text("The actual was created in Dataverse.")
    expect(drawer).to_contain_text("It has not reached Finance's staging table.")
    expect(drawer).to_contain_text("Sync the actual")
    titles = drawer.locator(".timeline > li").all()
    assert [step.get_attribute("class") for step in titles] == [
        "finance",
        "dataverse",
        "dataverse",
        "missing finance",
    ]
    drawer.locator(".timeline summary").first.click()
    drawer.locator(".timeline .events a").first.click()
    expect(page.get_by_role("heading", name="Raw event")).to_be_visible()
    found = re.search(r"/event/([^/]+)/(\d+)/(\d+)", page.url)
    assert found is not None
    with open_log(served.settings, write=False) as log:
        (record,) = log.read(found[1], int(found[2]), int(found[3]), 1, 1)
    assert record.value is not None
    expect(page.locator("#raw")).to_have_text(record.value.decode(), use_inner_text=False)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == record.value
    page.go_back()
    expect(page.locator("#drawer")).to_be_visible()


@pytest.mark.requirement("R36")
def test_a_value_leads_to_the_event_that_says_so(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/document/USPM-PT000487")
    page.locator(".timeline summary").first.click()
    page.locator(".cells tr", has_text="Voucher").get_by_role("link").click()
    expect(page.locator("#raw")).to_contain_text("USPM-000487")


@pytest.mark.requirement("R18", "R36")
def test_findings_and_the_split_of_the_amount_are_shown_in_both_currencies(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all&open=USPM/USPM-PT000362")
    drawer = page.locator("#drawer")
    expect(drawer).to_contain_text("Amount differs")
    expect(drawer.locator(".split")).to_contain_text("Difference 12.50", use_inner_text=True)
    page.goto(f"{served.address}/USPM/expense?view=all&f.currency==EUR")
    page.locator("#grid a.row").first.click()
    expect(page.locator("#drawer .split thead th")).to_have_text(["Currency", "EUR", "USD"])


@pytest.mark.requirement("R36")
def test_the_drawer_is_an_address_and_back_closes_it(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.get_by_role("link", name="USPM/USPM-PT000485").click()
    page.wait_for_url("**open=USPM/USPM-PT000485**")
    expect(page.locator("#drawer h2")).to_have_text("USPM/USPM-PT000485")
    page.reload()
    expect(page.locator("#drawer h2")).to_have_text("USPM/USPM-PT000485")
    page.go_back()
    expect(page.locator("#drawer")).to_have_count(0)
    page.goto(f"{served.address}/USPM/expense?open=USPM/nothing")
    expect(page.locator("#drawer")).to_contain_text("There is no document")
    assert len(documents(page)) == 40


# --- without script, other languages, files, paper -------------------------------------------------------------------


@pytest.mark.requirement("R35", "R36")
def test_paging_filters_groups_columns_and_drawer_work_without_script(browser: Browser, served: Served) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-US", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{served.address}/USPM/expense?view=all")
    names = documents(page)
    page.locator("a[data-page=after]").click()
    assert not set(documents(page)) & set(names)
    page.go_back()
    page.get_by_label("Filter Voucher").fill("USPM-00048")
    page.get_by_label("Filter Voucher").press("Enter")
    assert set(column(page, "Voucher")) <= {f"USPM-00048{number}" for number in range(10)}
    page.locator("#grid a.row").first.click()
    expect(page.locator("#drawer")).to_be_visible()
    page.locator("#drawer").get_by_role("link", name="Close").click()
    page.get_by_label("Group by").select_option("month")
    page.get_by_role("button", name="Apply").click()
    assert "group=month" in page.url
    page.goto(f"{served.address}/USPM/expense")
    page.locator(".choose summary").click()
    page.get_by_label("Exchange rate", exact=True).uncheck()
    page.get_by_role("button", name="Save").click()
    assert "Exchange rate" not in headers(page)
    context.close()


def test_amounts_and_dates_are_written_as_the_browser_prefers(browser: Browser, served: Served) -> None:
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(f"{served.address}/USPM")
    expect(page.locator("#amounts")).to_contain_text("9.000,00 USD")
    page.goto(f"{served.address}/USPM/expense")
    assert set(column(page, "Date")) == {"08.01.2025"}
    assert set(column(page, "Amount")) == {"100,00"}
    context.close()


@pytest.mark.requirement("R35")
def test_amounts_and_dates_are_read_as_the_browser_prefers_and_addresses_are_the_same_for_all(
    browser: Browser, page: Page, served: Served
) -> None:
    context = browser.new_context(locale="de-DE")
    german = context.new_page()
    german.goto(f"{served.address}/USPM/vendor-invoice-lines?view=missing-journal-lines")
    field = german.get_by_label("Filter Line amount")
    field.fill(">=8.000")
    field.press("Enter")
    german.wait_for_url("**f.amount=*8000")
    assert column(german, "Line amount") == ["8.000,00"]
    expect(german.get_by_label("Filter Line amount")).to_have_value(">=8.000")
    german.get_by_label("Filter Invoice date").fill(">=1.1.2024")
    german.keyboard.press("Enter")
    german.wait_for_url("**f.date=*2024-01-01**")
    assert german.url.endswith("f.amount=%3E=8000")
    page.goto(german.url)
    assert column(page, "Line amount") == ["8,000.00"]
    expect(page.get_by_label("Filter Line amount")).to_have_value(">=8,000")
    german.get_by_label("Filter Invoice date").fill("soon")
    german.keyboard.press("Enter")
    expect(german.get_by_role("alert")).to_contain_text('Invoice date: "soon" isn\'t a date.')
    expect(german.get_by_role("link", name="CSV")).to_have_count(0)
    german.get_by_role("link", name="Refresh").click()
    german.wait_for_url("**was=**")
    expect(german.get_by_label("Filter Line amount")).to_have_value(">=8.000")
    german.get_by_label("Filter Invoice date").fill("")
    german.keyboard.press("Enter")
    german.wait_for_url("**f.amount=%3E=8000")
    german.goto(f"{served.address}/USPM/expense?view=all")
    german.get_by_label("Jump to").fill("30.9.2024")
    german.keyboard.press("Enter")
    german.wait_for_url("**after=2024-09-30**")
    assert column(german, "Date")[0] == "30.09.2024"
    context.close()


@pytest.mark.requirement("R35")
def test_the_file_of_a_state_has_all_its_rows_and_the_shown_columns(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all&f.project==P-001000-D&columns=document.amount.date")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["Document", "Amount", "Date"]
    (shown,) = [int(cells[0]) for currency, cells in totals(page).items() if currency == "USD"]
    with_eur = shown + 1
    posted = [row for row in rows[1:] if row[0]]
    assert len(posted) >= with_eur
    assert all(re.fullmatch(r"-?\d+\.\d\d", row[1]) and re.fullmatch(r"\d{4}-\d\d-\d\d", row[2]) for row in posted)


def test_on_paper_there_are_all_rows_of_the_page_which_ones_and_nothing_to_press(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.emulate_media(media="print")
    for selector in (".tabs", ".tools", ".pages .button", ".pages .keys", "#grid .filter"):
        for hidden in page.locator(selector).all():
            expect(hidden).to_be_hidden()
    expect(page.locator(".pages")).to_have_text(re.compile("Rows 1–40"))
    expect(page.locator(".pages .place")).to_be_visible()
    cut = page.locator("#grid").evaluate("grid => grid.scrollHeight > grid.clientHeight + 1")
    assert not cut
    expect(page.locator("#totals")).to_be_visible()


# --- what is not as usual --------------------------------------------------------------------------------------------


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
    expect(page.locator("#tiles")).to_be_visible()


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
    expect(page.locator(".chips")).to_contain_text("Voucher")
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


@pytest.mark.requirement("R30")
def test_without_an_open_period_the_page_says_what_to_do(page: Page, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    events = [line for line in ingest_lines(simulate("small", 1).events) if b"LedgerFiscalCalendarPeriod" not in line]
    project(settings, events)
    with served(settings) as found:
        page.goto(f"{found.address}/USPM")
        expect(page.locator("main")).to_contain_text("select both dates above")
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
        expect(page.locator(".tiles")).to_contain_text("Silent feeds")
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
        expect(page.locator("#tiles")).to_contain_text("4,250.00")


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


@pytest.mark.requirement("R35")
def test_a_file_is_safe_to_open_in_a_spreadsheet_and_a_page_shows_texts_as_text(
    page: Page, context: BrowserContext, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    events = list(ingest_lines(simulate("small", 1).events))
    evil = posted_expense("900002", "-7.50", Voucher="=HYPERLINK(0)", ProjId="<img src=x onerror=alert(1)>")
    project(settings, [*events, *lines([evil])])
    with served(settings) as found:
        page.goto(f"{found.address}/USPM/expense?f.document=*900002")
        assert column(page, "Project ID") == ["<img src=x onerror=alert(1)>"]
        assert column(page, "Amount") == ["\u22127.50"]
        text = context.request.get(f"{found.address}/USPM/expense.csv?f.document=*900002").text()
        (row,) = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
        assert (row["Voucher"], row["Amount"]) == ("'=HYPERLINK(0)", "-7.50")
