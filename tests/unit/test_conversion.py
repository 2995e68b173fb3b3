"""Conversion names the key and the reason, without the wording of the library below it."""

from datetime import date
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conversion import ConversionError, convert


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A table."""

    name: str
    numbers: list[int] = []


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    """A file."""

    source: Literal["finance", "dataverse"]
    inner: dict[str, Inner] = {}
    day: date | None = None
    codes: tuple[str, ...] = ()
    on: bool = False
    either: str | list[str] = ""


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({}, (), "the key 'source' is missing"),
        ({"source": "sap"}, ("source",), "expected 'finance' or 'dataverse', got 'sap'"),
        ({"source": "finance", "sauce": 1}, (), "the key 'sauce' is unknown; known are source, inner, day, codes, on,"),
        ({"source": "finance", "inner": {"a": {}}}, ("inner", "a"), "the key 'name' is missing"),
        (
            {"source": "finance", "inner": {"a": {"name": "x", "numbers": [1, "2"]}}},
            ("inner", "a", "numbers", "2"),
            "expected a whole number, got '2'",
        ),
        ({"source": "finance", "inner": []}, ("inner",), "expected a table, got a list"),
        ({"source": "finance", "day": "8/1/2025"}, ("day",), "expected a date YYYY-MM-DD, got '8/1/2025'"),
        ({"source": "finance", "codes": ["a", 5]}, ("codes", "2"), "expected text, got a whole number"),
        ({"source": "finance", "on": "perhaps"}, ("on",), "expected true or false, got 'perhaps'"),
        ({"source": "finance", "either": 1.5}, ("either",), "expected text or a list, got a decimal number"),
        ({"source": "finance", "either": ["a", {}]}, ("either", "2"), "expected text, got a table"),
    ],
)
def test_a_mismatch_is_named_by_its_path_and_what_is_expected(value: Any, path: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConversionError) as raised:
        convert(value, Outer)
    assert raised.value.path == path
    assert str(raised.value).startswith(reason)


def test_text_stands_for_other_values_only_where_that_is_allowed() -> None:
    value = {"source": "finance", "on": "true", "inner": {"a": {"name": "x", "numbers": ["1"]}}}
    assert convert(value, Outer, strict=False) == Outer("finance", {"a": Inner("x", [1])}, on=True)
    with pytest.raises(ConversionError, match="got 'true'"):
        convert({"source": "finance", "on": "true"}, Outer)


KEYS = st.sampled_from(["source", "inner", "day", "codes", "on", "either", "name", "numbers", "a"])
LEAVES = st.sampled_from([None, True, 1, 1.5, "finance", "x", "2025-01-08"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(VALUES)
def test_whatever_msgspec_refuses_has_a_path_that_leads_to_a_value_and_a_reason(value: Any) -> None:
    try:
        expected = msgspec.convert(value, Outer)
    except msgspec.ValidationError:
        with pytest.raises(ConversionError) as raised:
            convert(value, Outer)
        for key in raised.value.path:
            value = value[int(key) - 1] if isinstance(value, list) else value[key]
        assert str(raised.value)
        assert "''" not in str(raised.value)
    else:
        assert convert(value, Outer) == expected
