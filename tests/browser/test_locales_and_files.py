"""Amounts and dates in the language of the browser, CSV files and printed pages."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.reading import column, totals
from tests.support.workspace import Served, lines, posted_expense, project, served, settings_in
from tieout.simulator import ingest_lines, simulate


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
    for selector in (".rail", ".toolbar", ".pager .btn", ".pager .keys", "#grid .filters"):
        for hidden in page.locator(selector).all():
            expect(hidden).to_be_hidden()
    expect(page.locator(".pager")).to_have_text(re.compile("Rows 1–40"))
    expect(page.locator(".pager .place")).to_be_visible()
    cut = page.locator("#grid").evaluate("grid => grid.scrollHeight > grid.clientHeight + 1")
    assert not cut
    expect(page.locator("#foot")).to_contain_text("Total 40 documents")
    expect(page.locator("#foot")).to_be_visible()
    expect(page.locator("#totals")).to_be_visible()


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
