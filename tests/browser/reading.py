"""Reads pages once they are complete, for assertions that do not wait themselves."""

from playwright.sync_api import Page, expect


def settled(page: Page) -> Page:
    """Return the page once the response to the last click is complete."""
    expect(page.locator("html.busy")).to_have_count(0)
    page.wait_for_load_state()
    return page


def headers(page: Page) -> list[str]:
    """The titles of the grid's columns, without the arrow of the one that sorts."""
    found = settled(page).locator("#grid thead tr").first.locator("th").all_text_contents()
    return [title.replace(" ↓", "").replace(" ↑", "") for title in found]


def column(page: Page, title: str) -> list[str]:
    """Return the texts of a column of the grid, row by row."""
    number = headers(page).index(title)
    cells = f"#grid tbody tr > *:nth-child({number + 1})"
    return [text.strip() for text in page.locator(cells).all_text_contents()]


def totals(page: Page) -> dict[str, list[str]]:
    """The totals by currency: rows, amount, missing actual, missing journal line, reconciled, difference."""
    rows = [row.locator("th, td").all_text_contents() for row in settled(page).locator("#totals tbody tr").all()]
    return {cells[0].removeprefix("Sum "): cells[1:] for cells in rows}


def documents(page: Page) -> list[str]:
    """The names of the documents in the grid."""
    return settled(page).locator("#grid a.row").all_text_contents()
