"""Map files of an environment's own change single keys of the shipped ones (R6)."""

from typing import Any

import pytest

from engine.errors import MapError
from engine.mapping.compiler import Maps, compile_maps
from tests.unit.test_map_mistakes import GOOD

pytestmark = pytest.mark.requirement("R6")


def over(entities: dict[str, Any], source: str = "finance") -> dict[str, Any]:
    return {"schema": 1, "version": "7", "source": source, "entities": entities}


def laid(*entities: dict[str, Any], below: dict[str, Any] = GOOD) -> Maps:
    """The map `GOOD`, and over it files of the environment's own: `own1.toml`, …"""
    own = [(f"own{number}.toml", over(said)) for number, said in enumerate(entities, 1)]
    return compile_maps([("shipped.toml", below)], own)


def field(maps: Maps, entity: str, name: str) -> tuple[str, ...] | None:
    return next((item.columns for item in maps.entities[entity].fields if item.name == name), None)


def test_an_own_file_says_one_column_and_leaves_the_others() -> None:
    maps = laid({"Line": {"columns": {"voucher": "contoso_voucher"}}})
    assert field(maps, "Line", "voucher") == ("contoso_voucher",)
    assert field(maps, "Line", "status") == ("Status",)
    assert maps.entities["Line"].references == laid().entities["Line"].references
    assert "mserp_voucher" not in maps.entities["Line"].columns


def test_an_own_file_adds_a_field_and_takes_one_away() -> None:
    maps = laid({"Line": {"columns": {"project": "contoso_project", "status": []}}})
    assert field(maps, "Line", "project") == ("contoso_project",)
    assert field(maps, "Line", "status") is None


def test_an_own_file_numbers_one_choice_and_leaves_the_others() -> None:
    maps = laid({"Line": {"choices": {"status": {"posted": [200000003, "Posted"]}}}})
    (status,) = [item for item in maps.entities["Line"].fields if item.name == "status"]
    assert status.choices == {0: "draft", 200000003: "posted", "posted": "posted"}


def test_an_own_file_adds_names_links_and_entities() -> None:
    further = {"Header": {"record": "journal", "columns": {"number": "Number"}}}
    line = {"aliases": ["contoso_line"], "references": {"header": {"to": "Header", "by": "journal"}}, "identity": []}
    maps = laid({"Line": line, **further})
    assert maps.find("CONTOSO_LINE") is maps.find("mserp_line")
    assert [item.name for item in maps.entities["Line"].references] == ["journal", "header"]
    assert maps.entities["Line"].identity == ()


def test_another_record_starts_anew_under_the_same_names() -> None:
    maps = laid({"Line": {"record": "later"}})
    assert maps.entities["Line"].role.name == "later"
    assert maps.entities["Line"].fields == ()
    assert maps.find("mserp_line") is maps.entities["Line"]


def test_own_files_may_say_different_things_and_the_same_thing_twice() -> None:
    one, two = {"Line": {"columns": {"voucher": "A"}}}, {"Line": {"columns": {"voucher": "A", "project": "B"}}}
    assert laid(one, two).digest == laid(two, one).digest


def test_the_digest_tells_what_own_files_change() -> None:
    assert laid({"Line": {"columns": {"voucher": ["Voucher", "Number"]}}}).digest == laid().digest
    assert laid({"Line": {"columns": {"voucher": ["Number", "Voucher"]}}}).digest != laid().digest


CONTRADICTIONS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "two own files about one column": (
        [{"Line": {"columns": {"voucher": "A"}}}, {"Line": {"columns": {"voucher": "B"}}}],
        'own2.toml: [entities.Line] columns.voucher: "B" contradicts own1.toml, which says "A"; leave one of them out',
    ),
    "two own files about one choice": (
        [{"Line": {"choices": {"status": {"error": 8}}}}, {"Line": {"choices": {"status": {"error": 9}}}}],
        "own2.toml: [entities.Line] choices.status.error: 9 contradicts own1.toml, which says 8",
    ),
    "a number that the shipped file gives another meaning": (
        [{"Line": {"choices": {"status": {"error": 3}}}}],
        "own1.toml: [entities.Line] choices.status.error: 3 means 'error' here, and 'posted' in "
        "shipped.toml: [entities.Line] choices.status.posted",
    ),
    "a column that the shipped file reads as something else": (
        [{"Line": {"columns": {"amount": "Voucher"}}}],
        "own1.toml: [entities.Line] columns.amount: Voucher is read as text and as money",
    ),
    "an entity without a record": (
        [{"Header": {"columns": {"number": "Number"}}}],
        "own1.toml: [entities.Header]: the key 'record' is missing",
    ),
    "a field taken away that nobody feeds": (
        [{"Line": {"columns": {"amout": []}}}],
        "own1.toml: [entities.Line] columns.amout: no column feeds this field as it is",
    ),
    "a name that another entity has": (
        [{"Journal": {"aliases": ["mserp_line"]}}],
        "own1.toml: [entities.Journal] aliases.mserp_line: the name already means Line",
    ),
    "a link within a company here and over all companies there": (
        [
            {
                "Staging": {
                    "record": "staging",
                    "columns": {"line": "Line"},
                    "identity": [{"link": "journal-line", "by": "line", "company": True}],
                }
            }
        ],
        "own1.toml: [entities.Staging] identity journal-line: company = true contradicts shipped.toml: [entities.Line] "
        "identity journal-line, where company = false: their values would never meet",
    ),
    "references in a circle": (
        [
            {"Journal": {"references": {"first": {"to": "Project", "by": "id"}}}},
            {"Project": {"record": "project", "references": {"journal": {"to": "Journal", "by": "id"}}}},
        ],
        "own1.toml: [entities.Journal] references.first: references lead in a circle: [entities.Journal] "
        "references.first → [entities.Project] references.journal → Journal; leave one of them out",
    ),
    "a reference to itself": (
        [{"Journal": {"references": {"parent": {"link": "journal-number", "by": ["company", "number"]}}}}],
        "own1.toml: [entities.Journal] references.parent: references lead in a circle: [entities.Journal] "
        "references.parent → Journal",
    ),
}


@pytest.mark.parametrize(("own", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_files_that_contradict_each_other_are_named_with_what_they_say(own: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(MapError) as raised:
        laid(*own)
    assert str(raised.value).startswith(message)


def test_an_entity_is_of_one_system() -> None:
    with pytest.raises(MapError, match=r"own\.toml: \[entities\.Line\] is of dataverse here, and of finance"):
        compile_maps([("shipped.toml", GOOD)], [("own.toml", over({"Line": {}}, "dataverse"))])
