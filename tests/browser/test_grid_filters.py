"""The columns, formats, views, filters, sort orders and groups of the grids."""

import csv
import io
import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.reading import column, documents, headers, settled, totals
from tests.support.workspace import Served
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
    # First the document, its status, and what the tile adds up.
    assert found[:3] == ["Document", "Status", "Accounting missing actual"]
    assert tuple(found[3 : 3 + len(documented)]) == documented
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
        expect(page.locator(".tags")).to_contain_text(typed)
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
    assert totals(page)["USD"][:2] == ["6", "600.00"]
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
    for is_accounting in (False, True):
        rows = [row for row in cells if row[0].endswith("(accounting)") == is_accounting]
        assert sum(int(row[1]) for row in rows) == 9
        assert sum(float(row[4].replace(",", "")) for row in rows) == 5_000
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
    page.locator(".period").click()
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
    expect(page.locator(".pager")).to_contain_text(f"Groups 1–3 of {len(months)}")
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
