"""A month end, as an accountant makes it: the balance of the ledger is explained to 0.00, and each part is opened."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, expect

from store.operational.ledger_balances import KeptBalance, keep
from store.schema.database import connect
from tests.browser.reading import cells, digits, explained, read, settled
from tests.support.month_end import EXPENSE_ACCOUNT, INVOICE_ACCOUNT, month_end
from tests.support.workspace import Served, need_a_browser, project, served, settings_in
from tieout.access.identities import local_name
from tieout.settings import Settings

pytestmark = pytest.mark.requirement("R18", "R37", "R87")

DECEMBER = "from=2024-12-01&to=2024-12-31"


@pytest.fixture(scope="module")
def ardo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The workspace of the company; somebody has kept the balances of November, which were 0."""
    need_a_browser()
    settings = in_books(tmp_path_factory.mktemp("month-end"))
    project(settings, month_end())
    engine = connect(settings.store, write=True)
    for account in ("expense", "vendor_invoice", "both"):
        keep(engine, KeptBalance("ARDO", account, "2024-11-30", 1, 0, "USD", "mira"))
    engine.dispose()
    with served(settings) as found:
        yield found


def in_books(folder: Path) -> Settings:
    """The settings of the company, with a log and a store of their own."""
    return msgspec.structs.replace(
        settings_in(folder, date(2025, 1, 8)),
        companies=("ARDO",),
        expense_account=(EXPENSE_ACCOUNT,),
        procurement_account=(INVOICE_ACCOUNT,),
    )


def rows(page: Page) -> list[dict[str, str]]:
    """The rows of the part that is open."""
    table = settled(page).locator("#account-part table")
    titles = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    return [
        dict(zip(titles, map(str.strip, row.locator("> *").all_inner_texts()), strict=True))
        for row in table.locator("tbody tr").all()
    ]


def test_the_balance_of_the_ledger_is_explained_to_the_last_cent(page: Page, ardo: Served) -> None:
    page.goto(f"{ardo.address}/ARDO/balance?{DECEMBER}")
    assert explained(page, "Ledger balance") == ["", "55.59", "500.00", "555.59"]
    assert explained(page, "Explained balance") == ["", "55.59", "500.00", "555.59"]
    assert explained(page, "Unexplained difference") == ["", "0.00", "0.00", "0.00"]
    expect(page.locator(".explained")).to_contain_text("fully reconciled")
    # One voucher has two documents, and no voucher differs from the ledger.
    expect(page.get_by_role("heading", name="Vouchers that differ")).to_have_count(0)


@pytest.mark.parametrize(
    ("part", "account", "found"),
    [
        ("Missing actuals", "Expense", [("ARDO/EX-3", "120.00")]),
        ("Missing journal lines", "Vendor invoices", [("ARDO/VI-1", "500.00")]),
        ("Exchange and posting differences", "Expense", [("ARDO/EX-4", "\u22121.75")]),
        ("Postings without a document", "Expense", [("JV-9", "\u221275.00")]),
        ("Other ledger entries", "Expense", [("GNJ-7", "12.34")]),
    ],
)
def test_each_part_opens_to_what_is_in_it(
    page: Page, ardo: Served, part: str, account: str, found: list[tuple[str, str]]
) -> None:
    page.goto(f"{ardo.address}/ARDO/balance?{DECEMBER}")
    (_, amount), *_ = found
    page.get_by_role("link", name=f"{part}, {account}: {amount}", exact=True).click()
    page.wait_for_url(f"**?{DECEMBER}**")
    shown = rows(page)
    assert [row["Amount USD"] for row in shown] == [amount for _, amount in found]
    assert all(name in row.values() for row, (name, _) in zip(shown, found, strict=True)), shown


def test_the_parts_that_are_opened_are_all_that_is_not_zero(page: Page, ardo: Served) -> None:
    page.goto(f"{ardo.address}/ARDO/balance?{DECEMBER}")
    titles = page.locator(".explained tbody tr th > a").all_inner_texts()
    sums = {title: explained(page, title)[3] for title in titles}
    assert {title for title, amount in sums.items() if amount != "0.00"} == {
        "Missing actuals",
        "Missing journal lines",
        "Exchange and posting differences",
        "Postings without a document",
        "Other ledger entries",
    }
    assert sum(Decimal(digits(amount)) for amount in sums.values()) == Decimal("555.59")


@pytest.mark.parametrize(
    ("account", "months"),
    [
        (
            "expense",
            [
                ["November 2024", "0.00", "100.00", "100.00", "0.00", "0.00"],
                ["December 2024", "0.00", "558.35", "515.10", "12.34", "55.59"],
                ["January 2025", "55.59", "60.00", "60.00", "0.00", "55.59"],
            ],
        ),
        (
            "vendor-invoice-line",
            [
                ["November 2024", "0.00", "300.00", "300.00", "0.00", "0.00"],
                ["December 2024", "0.00", "500.00", "0.00", "0.00", "500.00"],
            ],
        ),
    ],
)
def test_the_roll_forward_passes_the_year_end_close_unchanged(
    page: Page, ardo: Served, account: str, months: list[list[str]]
) -> None:
    page.goto(f"{ardo.address}/ARDO/balance?{DECEMBER}&account={account}")
    table = settled(page).locator("#roll-forward table")
    titles: list[Any] = ["Period", "Opening", "Booked", "Cleared", "Other entries", "Closing"]
    found = zip(*(cells(table, title) for title in titles), strict=True)
    assert [list(row) for row in found if any(digits(text) != "0.00" for text in row[1:])] == months


def test_a_balance_of_an_earlier_day_is_compared_with_what_is_explained_at_its_end(page: Page, ardo: Served) -> None:
    page.goto(f"{ardo.address}/ARDO/balance?{DECEMBER}")
    page.get_by_label("Ledger balance").fill("55.00")
    page.get_by_label("Account", exact=True).select_option("Expense")
    page.get_by_label("at the end of").fill("2024-12-31")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**on=2024-12-31")
    first = settled(page).locator("#kept tbody tr").first
    shown = [text.strip() for text in first.locator("> *").all_inner_texts()]
    assert shown == ["12/31/2024", "Expense", "55.00", "55.59", "\u22120.59", "not kept", ""]
    # The balance of now is that of the ledger, as before.
    assert explained(page, "Ledger balance") == ["", "55.59", "500.00", "555.59"]


def test_a_balance_is_kept_with_who_entered_it_and_stays(page: Page, ardo: Served) -> None:
    page.goto(f"{ardo.address}/ARDO/balance?{DECEMBER}&ledger=500.00&account=vendor-invoice-line&on=2024-12-31")
    page.get_by_role("button", name="Keep as balance of 12/31/2024").click()
    page.wait_for_url(f"**/ARDO/balance?{DECEMBER}&account=vendor-invoice-line")
    first = settled(page).locator("#kept tbody tr").first
    day, account, ledger, computed, difference, who, at = (
        text.strip() for text in first.locator("> *").all_inner_texts()
    )
    assert [day, account, ledger, computed, difference] == [
        *("12/31/2024", "Vendor invoices", "500.00", "500.00", "0.00")
    ]
    assert who == local_name()
    assert at


def test_a_voucher_that_differs_from_the_ledger_is_a_finding_of_the_list(page: Page, tmp_path: Path) -> None:
    differing = [line.replace(b'"-110.10"', b'"-110.00"') for line in month_end()]
    settings = in_books(tmp_path)
    project(settings, differing)
    with served(settings) as found:
        page.goto(f"{found.address}/ARDO")
        page.get_by_role("link", name="Findings", exact=True).click()
        (row,) = settled(page).locator("#findings tbody tr").all()
        expect(row).to_contain_text("Ledger differs")
        expect(row).to_contain_text(
            "voucher JV-4 come to -110.10 USD on the account. In the ledger its entries come to"
        )
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        assert [line["Finding"] for line in read(download.value.path())] == ["ledger-differs"]
        page.goto(f"{found.address}/ARDO/findings?code=amount-differs")
        expect(page.locator("#findings")).to_contain_text("None. Every row belongs to a document.")
        page.goto(f"{found.address}/ARDO/findings?code=no-such")
        expect(page.locator("main")).to_contain_text("There is no finding 'no-such'; there are ambiguous")
