"""From a row to its chain, and from each value to the bytes of its event."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.reading import documents
from tests.support.workspace import Served
from tieout.bootstrap import open_log


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
