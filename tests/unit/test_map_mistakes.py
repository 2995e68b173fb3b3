"""A mistake in a map file is named by file, entity and key (R6)."""

import copy
from typing import Any

import pytest

from engine.errors import MapError
from engine.mapping.compiler import Maps, compile_maps
from engine.mapping.files import WrittenEntity

pytestmark = pytest.mark.requirement("R6")


GOOD: dict[str, Any] = {
    "schema": 1,
    "version": "1.0.0",
    "source": "finance",
    "entities": {
        "Line": {
            "record": "journal-line",
            "aliases": ["mserp_line"],
            "columns": {"status": "Status", "journal": "Journal", "voucher": ["Voucher", "Number"]},
            "column_aliases": {"Voucher": "mserp_voucher"},
            "choices": {"status": {"draft": 0, "posted": [3, 4]}},
            "identity": [{"link": "journal-line", "by": "id"}],
            "references": {"journal": {"to": "Journal", "by": "journal"}},
        },
        "Journal": {
            "record": "journal",
            "columns": {"number": "JournalId", "status": "Status"},
            "choices": {"status": {"draft": 0, "posted": 3}},
            "offers": {"journal-number": ["company", "number"]},
        },
    },
}
# What is set where, and what the message must name besides the file.
AMOUNT = "[entities.Line] columns.amount"
MISTAKES: dict[str, tuple[str, Any, list[str]]] = {
    "no schema": ("schema", None, ["schema"]),
    "another schema": ("schema", 2, ["schema is 2", "schema = 1"]),
    "no version": ("version", None, ["version"]),
    "a version that is no text": ("version", 1, ["version"]),
    "no source": ("source", None, ["source"]),
    "an unknown source": ("source", "sap", ["sap", "source"]),
    "no entities": ("entities", None, ["entities"]),
    "an unknown key of the file": ("owner", "me", ["owner"]),
    "an unknown key of an entity": ("entities.Line.colums", {}, ["colums", "Line"]),
    "no record": ("entities.Line.record", None, ["record", "Line"]),
    "an unknown record": ("entities.Line.record", "jurnal", ["entities.Line", "jurnal", "journal-line"]),
    "an unknown field": ("entities.Line.columns.amout", "Amount", ["entities.Line", "columns.amout", "amount"]),
    "a column that is no name": ("entities.Line.columns.amount", 5, ["Line", "columns"]),
    "one column of two kinds": (
        "entities.Line.columns.amount",
        "Voucher",
        ["entities.Line", "Voucher", "money", "text"],
    ),
    "an alias of a column that no field reads": (
        "entities.Line.column_aliases.Text",
        "mserp_text",
        ["entities.Line", "column_aliases.Text"],
    ),
    "choices of a field that is none": (
        "entities.Line.choices.voucher",
        {"posted": 1},
        ["entities.Line", "choices.voucher"],
    ),
    "choices of a field that the record does not have": (
        "entities.Line.choices.staus",
        {"posted": 1},
        ["entities.Line", "choices.staus"],
    ),
    "an unknown choice": ("entities.Line.choices.status.finished", 9, ["entities.Line", "choices.status", "finished"]),
    "one number of two choices": ("entities.Line.choices.status.error", 3, ["entities.Line", "choices.status", "3"]),
    "a choice that is no number": ("entities.Line.choices.status.error", 1.5, ["Line", "choices"]),
    "one name of two choices": (
        "entities.Line.choices.status",
        {"draft": "New", "posted": ["Done", "new "]},
        ["entities.Line", "choices.status.posted", "'draft'"],
    ),
    "a choice field without numbers": ("entities.Line.choices", {}, ["entities.Line", "choices.status"]),
    "a link of a row that belongs to no chain": (
        "entities.Journal.identity",
        [{"link": "journal-line", "by": "id"}],
        ["entities.Journal", "identity"],
    ),
    "a link by an unknown field": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": "actual"}],
        ["entities.Line", "identity journal-line", "actual"],
    ),
    "a link under a condition of an unknown field": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": "id", "when": {"role": ["x"]}}],
        ["entities.Line", "identity journal-line when", "role"],
    ),
    "an unknown key of a link": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": "id", "scoped": True}],
        ["scoped", "Line"],
    ),
    "a reference by an unknown field": (
        "entities.Line.references.journal.by",
        "jurnal",
        ["entities.Line", "references.journal", "jurnal"],
    ),
    "a reference to an unknown entity": (
        "entities.Line.references.journal.to",
        "Jurnal",
        ["entities.Line", "references.journal", "Jurnal"],
    ),
    "a reference that leads nowhere": (
        "entities.Line.references.journal",
        {"by": "journal"},
        ["entities.Line", "references.journal"],
    ),
    "a reference that leads to two": (
        "entities.Line.references.journal.link",
        "journal-number",
        ["entities.Line", "references.journal"],
    ),
    "a reference by a link that nothing offers": (
        "entities.Line.references.header",
        {"by": "journal", "link": "jurnal-number"},
        ["entities.Line", "references.header", "jurnal-number"],
    ),
    "an offer of an unknown field": (
        "entities.Journal.offers.journal-number",
        ["company", "numer"],
        ["entities.Journal", "offers.journal-number", "numer"],
    ),
    "choices of a field that no column feeds": (
        "entities.Journal.columns",
        {"number": "JournalId"},
        ["entities.Journal", "choices.status", "number"],
    ),
    "a field without a column": ("entities.Line.columns.amount", [], ["entities.Line", "columns.amount"]),
    "a column of ours": ("entities.Line.columns.amount", "@company", ["entities.Line", "columns.amount"]),
    "an alias that is another column": (
        "entities.Line.column_aliases.Voucher",
        "Status",
        ["entities.Line", "column_aliases", "Status", "Voucher"],
    ),
    "a link by no field": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": []}],
        ["entities.Line", "identity journal-line"],
    ),
    "a reference to an entity by two fields": (
        "entities.Line.references.journal.by",
        ["company", "journal"],
        ["entities.Line", "references.journal"],
    ),
    "a reference by fewer fields than are offered": (
        "entities.Line.references.header",
        {"by": "journal", "link": "journal-number"},
        ["entities.Line", "references.header", "journal-number"],
    ),
    "an alias that another entity has": ("entities.Journal.aliases", ["Mserp_Line"], ["entities.Journal", "Line"]),
}


def with_mistake(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(GOOD)
    place = content
    *above, last = path.split(".")
    for step in above:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "named"),
    MISTAKES.values(),
    ids=MISTAKES.keys(),
)
def test_a_mistake_in_a_map_is_named_by_file_entity_and_key(path: str, value: Any, named: list[str]) -> None:
    with pytest.raises(MapError) as raised:
        compile_maps([("contoso.toml", with_mistake(path, value))])
    for part in ["contoso.toml", *named]:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "entities.Line.columns.amount",
            5,
            f"{AMOUNT}: expected text or a list, got a whole number",
        ),
        ("entities.Line.columns.amount", ["A", 5], f"{AMOUNT}.2: expected text, got a whole number"),
        (
            "entities.Line.choices.status.error",
            1.5,
            "[entities.Line] choices.status.error: expected a whole number or text or a list, got a decimal number",
        ),
        (
            "entities.Line.colums",
            {},
            f"[entities.Line]: the key 'colums' is unknown; known are {', '.join(WrittenEntity.__struct_fields__)}",
        ),
        ("entities.Line.record", None, "[entities.Line]: the key 'record' is missing"),
        (
            "entities.Line.identity",
            [{"link": "x", "by": "id"}, {"by": "id"}],
            "[entities.Line] identity.2: the key 'link' is missing",
        ),
        ("source", "sap", "source: expected 'dataverse' or 'finance', got 'sap'"),
        ("owner", "me", "the key 'owner' is unknown; known are schema, version, source, entities, virtual_prefix"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_by_its_whole_path(path: str, value: Any, message: str) -> None:
    with pytest.raises(MapError) as raised:
        compile_maps([("contoso.toml", with_mistake(path, value))])
    assert str(raised.value) == f"contoso.toml: {message}"


def test_without_the_mistakes_the_map_is_good() -> None:
    maps = compile_maps([("contoso.toml", GOOD)])
    line = maps.find("MSERP_LINE")
    assert line is not None
    assert line.columns["mserp_voucher"] == line.columns["Voucher"]
    assert [field.choices for field in line.fields if field.name == "status"] == [
        {0: "draft", 3: "posted", 4: "posted"}
    ]


def test_an_entity_in_two_shipped_files_is_a_mistake_that_names_both() -> None:
    with pytest.raises(MapError, match=r"second\.toml: \[entities\.Line\] is mapped twice, here and in first\.toml"):
        compile_maps([("first.toml", GOOD), ("second.toml", {**GOOD, "entities": {"Line": GOOD["entities"]["Line"]}})])


def test_entities_of_two_files_refer_to_each_other() -> None:
    entities = GOOD["entities"]
    maps: Maps = compile_maps(
        (f"{name}.toml", {**GOOD, "entities": {name: entities[name]}}) for name in ("Line", "Journal")
    )
    assert maps.entities.keys() == {"Line", "Journal"}
