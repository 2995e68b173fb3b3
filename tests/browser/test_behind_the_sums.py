"""No sum of the Summary and the Balance page leads nowhere: behind each is what it is made of."""

import csv
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.reading import documents, settled, totals
from tests.browser.test_every_page import violations
from tests.browser.test_summary_page import TILES
from tests.support.workspace import Served, lines, project, served, settings_in, small_company
from tieout.workspace.pages import unmatched

WINDOW = "from=2024-06-01&to=2025-01-08"


def explained(page: Page, part: str) -> list[str]:
    """A row of the balance: its amounts in the columns Expense, Vendor invoice lines and Total."""
    row = settled(page).locator(".explained tr").filter(has=page.get_by_role("rowheader", name=re.compile(f"^{part}")))
    return [text.strip() for text in row.locator("td").all_inner_texts()]


def cells(table: Locator, title: str) -> list[str]:
    """Return the texts of a column of a list."""
    number = [text.strip() for text in table.locator("thead th").all_inner_texts()].index(title)
    return [text.strip() for text in table.locator(f"tbody tr > :nth-child({number + 1})").all_inner_texts()]


def digits(text: str) -> str:
    """An amount as a file has it."""
    return text.replace(",", "").replace("\u2212", "-")


@pytest.mark.requirement("R32", "R37")
@pytest.mark.parametrize("caption", [caption for caption, _, _ in TILES])
def test_a_tile_of_the_balance_leads_to_its_rows_of_the_same_days(page: Page, served: Served, caption: str) -> None:
    page.goto(f"{served.address}/USPM/balance?{WINDOW}")
    expense, invoice, together = explained(page, caption)
    assert [expense, invoice] == ([together, ""] if caption.startswith("Expense") else ["", together])
    page.get_by_role("link", name=caption).click()
    page.wait_for_url(f"**?{WINDOW}**")
    part = 2 if caption.endswith("actuals") else 3
    assert totals(page)["USD"][part] == together
    expect(page.locator("#from")).to_have_value("2024-06-01")


@pytest.mark.requirement("R37")
def test_the_columns_of_the_balance_make_what_is_together(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    assert explained(page, "Explained balance") == ["9,207.50", "30,305.00", "39,512.50"]
    assert explained(page, "Amount differences") == ["12.50", "0.00", "12.50"]
    assert explained(page, "Documents before") == ["195.00", "2,305.00", "2,500.00"]
    assert explained(page, "Unmatched postings") == ["account unknown", "0.00"]


@pytest.mark.requirement("R37")
def test_the_causes_of_the_balance_make_its_tiles_and_lead_to_their_documents(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    causes = page.get_by_role("region", name="By cause")
    rows = [row.locator("th, td").all_text_contents() for row in causes.locator("tbody tr").all()]
    amounts = {kind: [Decimal(row[2].replace(",", "")) for row in rows if row[1] == kind] for _, kind, *_ in rows}
    assert {kind: sum(found) for kind, found in amounts.items()} == {
        "Expense": Decimal("9000.00"),
        "Vendor invoice lines": Decimal("28000.00"),
    }
    causes.get_by_role("link", name="Not approved").click()
    page.wait_for_url("**f.standing=not-approved**")
    assert totals(page)["USD"][:2] == ["10", "1,000.00"]


@pytest.mark.requirement("R37")
def test_the_balance_of_one_account_is_compared_with_its_column(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    page.get_by_label("Ledger balance").fill("9,207.50")
    page.get_by_label("Account", exact=True).select_option("Expense")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**account=expense")
    assert explained(page, "Unexplained difference") == ["0.00", "", ""]
    expect(page.locator(".explained")).to_contain_text("fully reconciled")
    page.get_by_label("Account", exact=True).select_option("Vendor invoices")
    page.get_by_label("Ledger balance").fill("30000")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**account=vendor-invoice-line")
    assert explained(page, "Unexplained difference") == ["", "\u2212305.00", ""]
    page.get_by_label("Ledger balance").fill("much")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("main")).to_contain_text('"much" isn\'t an amount. Example: 1,000.50.')
    page.goto(f"{served.address}/USPM/balance?account=cash")
    expect(page.locator("main")).to_contain_text("There is no account 'cash'; there are expense, vendor-invoice-line.")


@pytest.mark.requirement("R37")
def test_the_ledgers_balance_is_read_as_the_browser_prefers(browser: Browser, served: Served) -> None:
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(f"{served.address}/USPM/balance")
    page.get_by_label("Ledger balance").fill("39.600")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/balance?ledger=39600")
    assert explained(page, "Unexplained difference") == ["", "", "87,50"]
    expect(page.get_by_label("Ledger balance")).to_have_value("39.600,00")
    context.close()


@pytest.mark.requirement("R32", "R37")
@pytest.mark.parametrize("path", ["", "/balance"])
def test_the_difference_leads_to_the_documents_that_have_one(page: Page, served: Served, path: str) -> None:
    for kind, difference, found in (
        ("Expense", "12.50", ["USPM/USPM-PT000362"]),
        ("Vendor invoice lines", "0.00", []),
    ):
        page.goto(f"{served.address}/USPM{path}")
        page.locator("#balance, #beside").get_by_role("link", name=f"{kind}, amount differences").click()
        page.wait_for_url("**f.difference=!0")
        assert documents(page) == found
        if found:
            assert totals(page)["USD"][5] == difference


@pytest.mark.requirement("R37")
def test_documents_before_the_window_lead_to_the_summary_of_their_days(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    page.get_by_role("link", name="Documents before 3/1/2024").click()
    expect(page.locator("#from")).to_have_value("2024-01-18")
    expect(page.locator("#to")).to_have_value("2024-02-29")
    expect(page.locator("#amounts")).to_contain_text("Unreconciled expense amount 195.00", use_inner_text=True)
    expect(page.locator("#amounts")).to_contain_text("Unreconciled vendor invoice amount 2,305.00", use_inner_text=True)
    page.get_by_role("link", name="Expense missing actuals").click()
    page.wait_for_url("**/expense?from=2024-01-18&to=2024-02-29")
    assert totals(page)["USD"][2] == "75.00"


# --- what one system has alone ----------------------------------------------------------------------------------------


@pytest.mark.requirement("R32", "R36")
def test_what_is_not_synced_leads_to_its_records_and_these_to_document_event_and_file(
    page: Page, served: Served
) -> None:
    page.goto(f"{served.address}/USPM")
    page.get_by_role("link", name="Not synced from Dataverse to Finance").click()
    expect(page.locator("main")).to_contain_text("200.00 USD in 2 records (all dates)")
    table = page.locator("#not-synced table")
    amounts = cells(table, "Amount USD")
    assert amounts == ["100.00", "100.00"]
    assert cells(table, "Type") == ["Cost", "Cost"]
    assert set(cells(table, "Project ID")) == {"P-001000-D"}
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = read(download.value.path())
    assert [row["Accounting amount"] for row in rows] == [digits(text) for text in amounts]
    assert [row["Actual"] for row in rows] == cells(table, "Actual")
    assert [row["Document"] for row in rows] == cells(table, "Document")
    assert all(row["Since"].startswith("2025-01-08T") and row["Since"].endswith("Z") for row in rows)
    page.get_by_role("link", name=rows[0]["Document"]).click()
    expect(page.locator("main")).to_contain_text("It has not reached Finance's staging table.")
    page.go_back()
    table.locator("tbody a[title='Source event']").first.click()
    expect(page.locator("#raw")).to_contain_text(rows[0]["Actual"])


def read(path: Path) -> list[dict[str, str]]:
    """A file as a spreadsheet reads it."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


@pytest.mark.requirement("R32")
def test_many_actuals_are_on_several_pages(page: Page, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmatched, "CHAINS_PER_PAGE", 1)
    page.goto(f"{served.address}/USPM/not-synced?{WINDOW}")
    first = cells(page.locator("#not-synced table"), "Actual")
    page.get_by_role("link", name="Next page").click()
    page.wait_for_url(f"**?{WINDOW}&after=**")
    second = cells(page.locator("#not-synced table"), "Actual")
    assert (len(first), len(second), first == second) == (1, 1, False)
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    page.get_by_role("link", name="First page").click()
    page.wait_for_url(f"**?{WINDOW}")
    page.goto(f"{served.address}/company?company=GBPM&section=not-synced&{WINDOW}")
    expect(page).to_have_url(f"{served.address}/GBPM/not-synced?{WINDOW}")


@pytest.mark.requirement("R36")
def test_an_actual_that_is_not_synced_leads_to_its_form_in_dataverse(page: Page, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(settings_in(tmp_path), dataverse="https://contoso.crm4.dynamics.com")
    project(settings, small_company())
    with served(settings) as found:
        page.goto(f"{found.address}/USPM/not-synced")
        actual = cells(page.locator("#not-synced table"), "Actual")[0]
        expect(page.get_by_role("link", name=actual)).to_have_attribute(
            "href",
            f"https://contoso.crm4.dynamics.com/main.aspx?pagetype=entityrecord&etn=msdyn_actual&id={actual}",
        )


@pytest.mark.requirement("R37")
def test_postings_without_a_document_are_listed_and_make_their_part_of_the_balance(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    project(settings, [*small_company(), *lines([posting("68719490001", "250.00"), posting("68719490002", "49.90")])])
    with served(settings) as found:
        page.goto(f"{found.address}/USPM/balance?ledger=9207.50&account=expense")
        assert explained(page, "Unmatched postings") == ["account unknown", "\u2212299.90"]
        assert explained(page, "Explained balance") == ["9,207.50", "30,305.00", "39,212.60"]
        expect(page.locator("#balance")).to_contain_text("part of its unexplained difference")
        page.get_by_role("link", name="Unmatched postings").click()
        expect(page.locator("#postings")).to_contain_text("\u2212299.90 USD of the balance in 2 lines (all dates)")
        expect(page.locator("#postings")).to_contain_text("Find out who created it.")
        table = page.locator("#postings table")
        assert cells(table, "Voucher") == ["PJ-68719490002", "PJ-68719490001"]
        assert cells(table, "Amount") == ["49.90", "250.00"]
        assert cells(table, "Project ID") == ["P-001000-D"] * 2
        assert violations(page) == []
        page.emulate_media(color_scheme="dark")
        assert violations(page, {"runOnly": ["color-contrast"]}) == []
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        assert [(row["Line"], row["Date"], row["Amount"]) for row in read(download.value.path())] == [
            ("68719490002", "2025-01-06", "49.90"),
            ("68719490001", "2025-01-06", "250.00"),
        ]
        table.locator("tbody a").first.click()
        expect(page.locator("#raw")).to_contain_text("PJ-68719490002")
        monkeypatch.setattr(unmatched, "LISTED", 1)
        page.goto(f"{found.address}/USPM/postings-without-document")
        expect(page.locator("#postings")).to_contain_text("Showing the last 1 of 2; the CSV file contains all.")


def posting(number: str, amount: str) -> dict[str, Any]:
    """A line that the integration journal posted without any record in Dataverse."""
    columns = {
        "Status": 3,
        "Voucher": f"PJ-{number}",
        "ExtendedCost": amount,
        "CostCurrency": "USD",
        "AccountingDate": "2025-01-06",
        "ProjId": "P-001000-D",
    }
    value = {
        "specversion": "1.0",
        "id": f"line-{number}",
        "source": "/finance/contoso",
        "type": "tieout.row.changed",
        "time": "2025-01-07T05:00:00Z",
        "data": {
            "entity": "ProjAdvancedJournalLine",
            "id": number,
            "operation": "upsert",
            "company": "USPM",
            "columns": columns,
        },
    }
    return {"topic": "finance.changes", "key": number, "value": value}


@pytest.mark.requirement("R32", "R37")
def test_where_nothing_is_alone_the_pages_say_so(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    page.get_by_role("link", name="Unmatched postings").click()
    expect(page.locator("#postings")).to_contain_text("None. All posted integration journal lines have a staging row.")
    page.goto(f"{served.address}/GBPM/not-synced?from=2024-01-01")
    expect(page.locator("#not-synced")).to_contain_text("None. All actuals due in Finance are in its staging table.")
