"""Reads pages once they are complete, for assertions that do not wait themselves."""

import csv
import io
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect


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


def explained(page: Page, part: str) -> list[str]:
    """A row of the account: its items, its amounts in Expense, Vendor invoices, Together; [] if it is not there."""
    row = settled(page).locator(".explained tr").filter(has=page.get_by_role("rowheader", name=re.compile(f"^{part}")))
    return [text.strip() for text in row.locator("> td").all_inner_texts()]


def cells(table: Locator, title: str) -> list[str]:
    """Return the texts of a column of a list."""
    number = [text.strip() for text in table.locator("thead th").all_inner_texts()].index(title)
    return [text.strip() for text in table.locator(f"tbody tr > :nth-child({number + 1})").all_inner_texts()]


def digits(text: str) -> str:
    """An amount as a file has it."""
    return text.replace(",", "").replace("\u2212", "-")


def read(path: Path) -> list[dict[str, str]]:
    """A file as a spreadsheet reads it."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
