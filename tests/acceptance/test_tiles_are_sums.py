"""A tile is the sum of a visible column of its grid, of its foot, of the file, of the groups and of the totals below
the grid, in a company whose documents are in several currencies.
"""

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser

import httpx
import pytest

from engine.reconciliation.fields import FIELD
from engine.reconciliation.kinds import KINDS, TILES, VIEW_PARTS, Tile
from tests.support.workspace import Served, lines, posted_expense, project, served, settings_in, small_company

FOREIGN = [
    posted_expense("900001", "100.00", ExchangeCode="EUR", ExchangeRate="110.37", AmountMST="110.37"),
    posted_expense("900002", "33.33", ExchangeCode="EUR", ExchangeRate="110.37", AmountMST="36.79"),
    posted_expense("900003", "7", ExchangeCode="JPY", ExchangeRate="0.69", AmountMST="0.05"),
    posted_expense("900004", "-12.10", ExchangeCode="GBP", ExchangeRate="125.5", AmountMST="-15.19"),
]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The small company with expenses in four currencies that never reached Dataverse."""
    settings = settings_in(tmp_path_factory.mktemp("currencies"))
    project(settings, [*small_company(), *lines(FOREIGN)])
    with served(settings) as found:
        yield found


class _Tables(HTMLParser):
    """The rows of the tables of a page, by the id of the table or of the element around it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._id = ""
        self._reads = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._id = dict(attrs).get("id") or self._id
        if tag == "tr":
            self.rows.setdefault(self._id, []).append([])
        if tag in ("td", "th") and self._id in self.rows:
            self.rows[self._id][-1].append("")
            self._reads = True

    def handle_endtag(self, tag: str) -> None:
        self._reads = self._reads and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._reads:
            self.rows[self._id][-1][-1] += data.strip()


def get(address: str) -> str:
    answer = httpx.get(address, headers={"Accept-Language": "en-US"})
    assert answer.status_code == 200
    return answer.text


def tables(address: str) -> dict[str, list[list[str]]]:
    return _Tables(get(address)).rows


def decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("\u2212", "-") or "0")


def column(rows: list[list[str]], title: str) -> list[str]:
    place = rows[0].index(title)
    return [row[place] for row in rows[1:]]


def file(address: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(get(address).removeprefix("\ufeff"))))


@pytest.mark.requirement("R31", "R32", "R33")
@pytest.mark.parametrize("tile", TILES, ids=lambda tile: tile.name)
def test_a_tile_is_the_sum_of_a_visible_column_of_the_file_of_the_groups_and_of_the_totals(
    several: Served, tile: Tile
) -> None:
    text = get(f"{several.address}/USPM")
    figure = text[text.index(f">{tile.title}<") :].partition('class="figure">')[2].partition("<")[0]
    amount = decimal(figure)
    assert amount != 0
    title = FIELD[VIEW_PARTS[tile.view]].title
    grid = f"{several.address}/USPM/{KINDS[tile.kind].path}"
    shown = tables(f"{grid}?view={tile.view}")
    assert sum(decimal(cell) for cell in column([shown["grid"][0], *shown["grid"][2:]], title)) == amount
    exported = file(f"{grid}.csv?view={tile.view}")
    assert sum(map(Decimal, column(exported, title))) == amount
    if tile.name == "expense_missing_actuals":
        assert {"USD", "EUR", "JPY", "GBP"} <= set(column(exported, "Currency"))
    for group in ("currency", "month"):
        groups = file(f"{grid}.csv?view={tile.view}&group={group}")
        assert sum(map(Decimal, column(groups, title))) == amount
    (foot,) = [row for row in shown["foot"] if re.match(r"Accounting USD|Total\d", row[0])]
    assert decimal(foot[shown["grid"][0].index(title)]) == amount
    (below,) = [row for row in shown["totals"] if row[0] == "Sum in accounting currency USD"]
    place = shown["totals"][0].index(title.removeprefix("Accounting ").capitalize())
    assert decimal(below[place]) == amount


@pytest.mark.requirement("R33")
@pytest.mark.parametrize(
    ("view", "title"),
    [
        ("missing-actuals", "Accounting missing actual"),
        ("missing-journal-lines", "Accounting missing journal line"),
        ("all", "Accounting amount"),
        ("reconciled", "Accounting reconciled"),
    ],
)
def test_a_grid_shows_the_amount_that_its_view_is_about_in_accounting_currency(
    several: Served, view: str, title: str
) -> None:
    heads = tables(f"{several.address}/USPM/expense?view={view}")["grid"][0]
    assert [head for head in heads if head.startswith("Accounting")] == [title]
    chosen = tables(f"{several.address}/USPM/expense?view={view}&columns=document.booked.cleared.exchange_difference")
    assert chosen["grid"][0] == ["Document", "Booked", "Cleared", "Exchange and posting differences"]
