"""No sum of the Summary and the account reconciliation leads nowhere: behind each is what it is made of."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from engine.reconciliation.account import BESIDE, PARTS
from tests.browser.reading import cells, digits, documents, explained, read, settled, totals
from tests.support.workspace import Served, lines, project, served, settings_in, small_company
from tieout.workspace.pages import account_part, balance, unmatched

WINDOW = "from=2024-06-01&to=2025-01-08"


PART_TITLES = [texts.title for name, texts in PARTS.items() if name != BESIDE]


@pytest.mark.requirement("R32", "R37")
@pytest.mark.parametrize(("kind", "account"), [(0, "Expense"), (1, "Vendor invoices"), (2, "Together")])
@pytest.mark.parametrize("title", ["Missing actuals", "Missing journal lines", "Documents before the window"])
def test_each_number_of_a_part_leads_to_rows_that_add_up_to_it(
    page: Page, served: Served, title: str, kind: int, account: str
) -> None:
    page.goto(f"{served.address}/USPM/balance?{WINDOW}")
    _, *amounts = explained(page, title)
    page.get_by_role("link", name=f"{title}, {account}: {amounts[kind]}", exact=True).click()
    page.wait_for_url(f"**?{WINDOW}**")
    rows = [Decimal(digits(text)) for text in cells(page.locator("#account-part table"), "Amount USD")]
    assert sum(rows) == Decimal(digits(amounts[kind]))
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    told = [Decimal(row["Accounting amount"]) for row in read(download.value.path())]
    assert told == rows
    page.locator("#account-part tbody a").first.click()
    expect(page.locator(".document-name")).to_be_visible()


@pytest.mark.requirement("R37")
def test_the_first_line_of_the_account_is_the_sum_of_its_parts(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    expect(settled(page).locator(".law")).to_contain_text(
        "Explained balance: 39,512.50 USD = the sum of the parts below."
    )
    assert explained(page, "Explained balance") == ["", "9,207.50", "30,305.00", "39,512.50"]
    parts = [row for title in PART_TITLES if (row := explained(page, title))]
    for column in (1, 2, 3):
        together = sum(Decimal(digits(row[column])) for row in parts)
        assert together == Decimal(digits(explained(page, "Explained balance")[column]))
    assert explained(page, "Amount differences") == ["1", "12.50", "0.00", "12.50"]
    assert explained(page, "Documents before the window") == ["6", "195.00", "2,305.00", "2,500.00"]
    assert explained(page, "Project unknown") == ["0", "0.00", "0.00", "0.00"]
    page.get_by_text("7 parts with nothing in them").click()
    shown = page.locator(".empty-parts li a").all_text_contents()
    assert sorted([*shown, *(title for title in PART_TITLES if explained(page, title))]) == sorted(PART_TITLES)


@pytest.mark.requirement("R37")
def test_what_a_part_means_is_told_on_demand(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    meaning = page.get_by_text("Posted in Finance, without an actual that reached Finance.")
    expect(meaning).to_be_hidden()
    page.get_by_label("What is in Missing actuals").click()
    expect(meaning).to_be_visible()


@pytest.mark.requirement("R37")
def test_excluded_documents_are_beside_the_account_and_lead_to_their_rows(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    table = page.locator("#excluded table")
    assert dict(zip(cells(table, "Reason"), cells(table, "Amount"), strict=True)) == {
        "Cancelled in Finance": "140.00",
        "Intercompany cost": "2,010.00",
        "No project": "413.00",
        "Skip Sync": "95.00",
    }
    table.get_by_role("link", name="No project", exact=True).click()
    expect(page.locator("#account-part")).to_contain_text("413.00 USD in 3 items.")
    assert cells(page.locator("#account-part table"), "Amount USD") == ["35.00", "330.00", "48.00"]


@pytest.mark.requirement("R37")
def test_the_roll_forward_ends_with_the_explained_balance_and_leads_to_what_moved(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    table = settled(page).locator("#roll-forward table")
    opening, booked, cleared, other, closing = (
        [Decimal(digits(text)) for text in cells(table, title)]
        for title in ("Opening", "Booked", "Cleared", "Other entries", "Closing")
    )
    assert closing[-1] == Decimal("39512.50")
    assert opening == [0, *closing[:-1]]
    assert closing == [sum(row) for row in zip(opening, booked, (-one for one in cleared), other, strict=True)]
    table.get_by_role("link", name=f"Cleared, January 2025: {cells(table, 'Cleared')[-1]}").click()
    rows = [Decimal(digits(text)) for text in cells(settled(page).locator("#account-part table"), "Amount USD")]
    assert sum(rows) == cleared[-1]


@pytest.mark.requirement("R37")
def test_many_months_are_one_row_before_the_last(page: Page, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "MONTHS_LISTED", 2)
    page.goto(f"{served.address}/USPM/balance")
    table = settled(page).locator("#roll-forward table")
    assert cells(table, "Period") == ["Until November 2024", "December 2024", "January 2025"]
    assert cells(table, "Opening")[0] == "0.00"
    assert cells(table, "Closing")[0] == cells(table, "Opening")[1]
    assert cells(table, "Closing")[-1] == "39,512.50"


@pytest.mark.requirement("R37")
def test_a_long_part_is_on_several_pages(page: Page, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    page.goto(f"{served.address}/USPM/account/missing-journal-line")
    expected = cells(page.locator("#account-part table"), "Document or row")
    monkeypatch.setattr(account_part, "ROWS", 10)
    page.goto(f"{served.address}/USPM/account/missing-journal-line")
    first = cells(page.locator("#account-part table"), "Document or row")
    page.get_by_role("link", name="Next page").click()
    page.wait_for_url("**after=**")
    assert first + cells(page.locator("#account-part table"), "Document or row") == expected
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    page.get_by_role("link", name="First page").click()
    page.wait_for_url("**/missing-journal-line")


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
    assert totals(page)["USD"][:2] == ["6", "600.00"]


@pytest.mark.requirement("R37")
def test_the_balance_of_one_account_is_compared_with_its_column(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/balance")
    page.get_by_label("Ledger balance").fill("9,207.50")
    page.get_by_label("Account", exact=True).select_option("Expense")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**account=expense")
    assert explained(page, "Unexplained difference") == ["", "0.00", "", ""]
    assert explained(page, "Ledger balance") == ["", "9,207.50", "not known", "not known"]
    expect(page.locator(".explained")).to_contain_text("fully reconciled")
    page.get_by_label("Account", exact=True).select_option("Vendor invoices")
    page.get_by_label("Ledger balance").fill("30000")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**account=vendor-invoice-line")
    assert explained(page, "Unexplained difference") == ["", "", "\u2212305.00", ""]
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
    assert explained(page, "Unexplained difference") == ["", "", "", "87,50"]
    expect(page.get_by_label("Ledger balance")).to_have_value("39.600,00")
    context.close()


@pytest.mark.requirement("R32", "R37")
def test_the_difference_leads_to_the_documents_that_have_one(page: Page, served: Served) -> None:
    for kind, difference, found in (
        ("Expense", "12.50", ["USPM/USPM-PT000362"]),
        ("Vendor invoice lines", "0.00", []),
    ):
        page.goto(f"{served.address}/USPM")
        page.locator("#beside").get_by_role("link", name=f"{kind}, amount differences").click()
        page.wait_for_url("**f.difference=!0")
        assert documents(page) == found
        if found:
            assert totals(page)["USD"][5] == difference


@pytest.mark.requirement("R37")
def test_a_part_leads_to_the_grid_that_has_its_documents(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/account/amount-difference?{WINDOW}")
    page.get_by_role("link", name="Show in Expense").click()
    page.wait_for_url(f"**/expense?{WINDOW}**f.difference=!0")
    assert documents(page) == ["USPM/USPM-PT000362"]


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
def test_postings_without_a_document_are_listed_and_make_their_part_of_the_account(page: Page, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project(settings, [*small_company(), *lines([posting("68719490001", "250.00"), posting("68719490002", "49.90")])])
    with served(settings) as found:
        page.goto(f"{found.address}/USPM/balance?ledger=9207.50&account=expense")
        assert explained(page, "Postings without a document") == ["2", "0.00", "0.00", "\u2212299.90"]
        assert explained(page, "Explained balance") == ["", "9,207.50", "30,305.00", "39,212.60"]
        expect(page.locator("#balance")).to_contain_text("\u2212299.90 USD are in Together alone")
        # The address of the former page leads to it.
        page.goto(f"{found.address}/USPM/postings-without-document?{WINDOW}")
        expect(page).to_have_url(f"{found.address}/USPM/account/posting-without-document?{WINDOW}")
        expect(page.locator("#account-part")).to_contain_text("\u2212299.90 USD in 2 items.")
        expect(page.locator("#account-part")).to_contain_text("Find out what was posted.")
        table = page.locator("#account-part table")
        assert cells(table, "Voucher") == ["PJ-68719490001", "PJ-68719490002"]
        assert cells(table, "Amount USD") == ["\u2212250.00", "\u221249.90"]
        assert cells(table, "Project ID") == ["P-001000-D"] * 2
        assert cells(table, "Account") == ["not known"] * 2
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        rows = read(download.value.path())
        assert [(row["Document or row"], row["Date"], row["Accounting amount"]) for row in rows] == [
            ("68719490001", "2025-01-06", "-250.00"),
            ("68719490002", "2025-01-06", "-49.90"),
        ]


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
    page.goto(f"{served.address}/USPM/account/posted-twice")
    expect(page.locator("#account-part")).to_contain_text("Nothing is in this part.")
    page.goto(f"{served.address}/GBPM/not-synced?from=2024-01-01")
    expect(page.locator("#not-synced")).to_contain_text("None. All actuals due in Finance are in its staging table.")
