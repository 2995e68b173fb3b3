"""Pagination, jumps, chosen columns and the keyboard in the grids, with and without script."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.reading import column, documents, headers, settled
from tests.support.workspace import Served


@pytest.mark.requirement("R33", "R35")
def test_paging_goes_to_the_end_and_back_and_meets_every_row_once(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense?view=all")
    seen = [documents(page)]
    while settled(page).locator("a[data-page=after]").count():
        first = seen[-1][0]
        page.locator("a[data-page=after]").click()
        expect(page.locator("#grid a.row").first).not_to_have_text(first)
        seen.append(documents(page))
    expect(page.locator(".pager")).to_contain_text("Rows 101–118")
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
    page.locator(".columns summary").click()
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
    page.locator("th[data-column=project]").scroll_into_view_if_needed()
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
    page.locator(".columns summary").click()
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
    expect(page.locator(".pager")).to_contain_text("Rows 51–100")
    expect(page.locator(":focus")).to_have_class("row")
    page.keyboard.press("PageUp")
    expect(page.locator(".pager")).to_contain_text("Rows 1–50")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()


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
    page.locator(".columns summary").click()
    page.get_by_label("Exchange rate", exact=True).uncheck()
    page.get_by_role("button", name="Save").click()
    assert "Exchange rate" not in headers(page)
    context.close()
