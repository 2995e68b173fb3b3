"""A link to a record opens its own form, and says nothing else whatever the values are (R36)."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from engine.errors import SettingError
from tieout.settings import Settings, load
from tieout.workspace.web.deep_links import DeepLink, form_of

pytestmark = pytest.mark.requirement("R36")

FINANCE = "https://contoso.operations.dynamics.com"
DATAVERSE = "https://org.crm4.dynamics.com"
FORMS = Settings(finance=FINANCE, dataverse=DATAVERSE)
TABLES = Settings(finance=FINANCE, finance_links="table")

ODD = ["a&b=c", 'x"}]&cmp=OTHER', "P#1", "ÅÖ/ß", "100%", "a b", "a+b", "'><script>", "?mi=SysClassRunner", "\r\nX: 1"]
"""Values that end a parameter, a filter, an attribute or a header where they are not encoded."""


def parameters(link: DeepLink | None) -> list[tuple[str, str]]:
    """The parameters that a browser sends, in order; each of them is known."""
    assert link is not None
    parts = urlsplit(link.address)
    assert parts.fragment == ""
    return parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)


def test_a_row_of_finance_opens_its_own_form() -> None:
    link = form_of(FORMS, "finance", "TrvExpTrans", "5637144576", "USPM")
    assert link == DeepLink(
        f"{FINANCE}/?mi=action:McpDeepLinkNavigator&tableName=TrvExpTrans"
        "&filters=%5B%7B%22f%22%3A%22RecId%22%2C%22op%22%3A%22Is%22%2C%22v%22%3A%225637144576%22%7D%5D&cmp=USPM",
        "form",
    )
    assert parameters(link) == [
        ("mi", "action:McpDeepLinkNavigator"),
        ("tableName", "TrvExpTrans"),
        ("filters", '[{"f":"RecId","op":"Is","v":"5637144576"}]'),
        ("cmp", "USPM"),
    ]


@pytest.mark.parametrize("company", [None, ""])
def test_a_row_that_has_no_company_names_none(company: str | None) -> None:
    link = form_of(FORMS, "finance", "MainAccount", "22565421", company)
    assert [name for name, _ in parameters(link)] == ["mi", "tableName", "filters"]


def test_an_older_version_opens_the_table_browser() -> None:
    link = form_of(TABLES, "finance", "TrvExpTrans", "5637144576", "USPM")
    assert link == DeepLink(f"{FINANCE}/?mi=SysTableBrowser&TableName=TrvExpTrans&cmp=USPM", "table")


@pytest.mark.parametrize(
    "row",
    ["", "0", "007", "-1", "12345678901234567890", "٣", "5637144576 ", "7c1e0000-ff26-f5f6-0000-000000000000", *ODD],
)
def test_a_row_that_no_record_id_names_opens_its_table(row: str) -> None:
    link = form_of(FORMS, "finance", "TrvExpTrans", row, "USPM")
    assert link == form_of(TABLES, "finance", "TrvExpTrans", row, "USPM")
    assert link is not None
    assert link.opens == "table"
    assert row == "" or row not in link.address.partition("?")[2]


@pytest.mark.parametrize("settings", [FORMS, TABLES], ids=["form", "table"])
@pytest.mark.parametrize("odd", ODD)
def test_no_value_ends_its_parameter(odd: str, settings: Settings) -> None:
    link = form_of(settings, "finance", odd, "5637144576", odd)
    named = parameters(link)
    table = "tableName" if settings is FORMS else "TableName"
    assert (dict(named)[table], dict(named)["cmp"], named[0][0]) == (odd, odd, "mi")
    assert len(named) == (4 if settings is FORMS else 3)
    if settings is FORMS:
        assert json.loads(dict(named)["filters"]) == [{"f": "RecId", "op": "Is", "v": "5637144576"}]
    assert link is not None
    assert not set(link.address) & set(" \r\n\"'<>#")


@pytest.mark.parametrize("odd", ODD)
def test_no_value_ends_its_parameter_in_dataverse(odd: str) -> None:
    link = form_of(FORMS, "dataverse", odd, odd, None)
    assert parameters(link) == [("pagetype", "entityrecord"), ("etn", odd), ("id", odd)]


@pytest.mark.parametrize(
    ("settings", "source"),
    [
        (Settings(), "finance"),
        (Settings(), "dataverse"),
        (FORMS, None),
        (FORMS, "elsewhere"),
        (Settings(finance="http://127.0.0.1:9"), "finance"),
    ],
    ids=["no address of Finance", "none of Dataverse", "no system", "another system", "a simulated system"],
)
def test_a_system_without_an_address_has_no_links(settings: Settings, source: str | None) -> None:
    assert form_of(settings, source, "TrvExpTrans", "5637144576", "USPM") is None


def test_an_address_with_a_slash_at_its_end_is_the_same_place() -> None:
    slashed = Settings(finance=f"{FINANCE}/")
    assert form_of(slashed, "finance", "T", "1", "USPM") == form_of(FORMS, "finance", "T", "1", "USPM")


def test_what_links_open_is_one_of_two() -> None:
    assert load({"TIEOUT_FINANCE_LINKS": "table"}).finance_links == "table"
    with pytest.raises(SettingError, match=r"TIEOUT_FINANCE_LINKS='browser': write form, or table"):
        load({"TIEOUT_FINANCE_LINKS": "browser"})
