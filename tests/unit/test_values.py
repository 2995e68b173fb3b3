"""Values as events write them, brought into the one form the rules compare (R8)."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events.facts import iso, row_id_of, time_order
from engine.mapping.roles import ValueType
from engine.mapping.values import is_unfit, normaliser, parse_time, plain_value, unfit

pytestmark = pytest.mark.requirement("R8")

GUID = "6e21a0c8-9f0b-ef11-9f89-6045bda11c3f"
KEPT = time_order(GUID)  # guids are kept as record keys spell them
ZERO = "00000000-0000-0000-0000-000000000000"
NEW_YEAR = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z

# Kind, value of the event, value as kept.
FITTING: list[tuple[ValueType, Any, Any]] = [
    ("text", " P-001 ", "P-001"),
    ("text", "0031", "0031"),
    ("text", 42, "42"),
    ("text", "1900-01-01", "1900-01-01"),
    ("code", " uspm", "USPM"),
    ("code", "Usd", "USD"),
    ("code", 31, "31"),
    ("guid", GUID, KEPT),
    ("guid", GUID.upper(), KEPT),
    ("guid", "{" + GUID.upper() + "}", KEPT),
    ("guid", GUID.replace("-", ""), KEPT),
    ("guid", {"entity": "msdyn_project", "id": "{" + GUID.upper() + "}", "name": None}, KEPT),
    ("recid", 5637144576, "5637144576"),
    ("recid", "5637144576", "5637144576"),
    ("recid", " 5637144576 ", "5637144576"),
    ("recid", "0005", "5"),
    ("recid", -1, "-1"),
    ("money", "100.00", 100_0000),
    ("money", "-0.0001", -1),
    ("money", 100, 100_0000),
    ("money", "1e2", 100_0000),
    ("money", " 7 ", 7_0000),
    ("money", "0.10000000", 1000),
    ("decimal", "1.50", "1.5"),
    ("decimal", 100, "100"),
    ("decimal", "100.000000000000", "100"),
    ("date", "2025-01-08", "2025-01-08"),
    ("date", "2024-02-29", "2024-02-29"),
    ("date", "2025-01-08T00:00:00Z", "2025-01-08"),
    ("date", "2025-01-08T23:30:00-07:00", "2025-01-08"),
    ("time", "2025-01-01T00:00:00Z", NEW_YEAR),
    ("time", "2025-01-01T01:00:00+01:00", NEW_YEAR),
    ("time", "2024-12-31T17:00:00.000000-07:00", NEW_YEAR),
    ("time", "2025-01-01t00:00:00.1234567z", NEW_YEAR + 123_456),
    ("time", "1969-12-31T23:59:59Z", -1_000_000),
    ("flag", True, True),
    ("flag", False, False),
    ("flag", 1, True),
    ("accounting-date", "2025-01-08", "2025-01-08"),
    ("accounting-date", "2025-01-08T00:00:00Z", "2025-01-08"),
    ("accounting-date", " 2024-12-31T23:00:00Z", {"date": "2024-12-31", "sent": "2024-12-31T23:00:00Z"}),
    ("flag", 0, False),
    ("flag", "Yes", True),
    ("flag", "no", False),
    ("flag", "TRUE", True),
    ("flag", "0", False),
    ("choice", 192350000, 192350000),
    ("choice", "192350000", 192350000),
    ("choice", 0, 0),
    ("choice", "-1", -1),
    ("choice", " Approved ", "Approved"),
]

NONES: list[tuple[ValueType, Any]] = [
    ("text", ""),
    ("text", "   "),
    ("code", ""),
    ("code", " \t"),
    ("guid", ""),
    ("guid", ZERO),
    ("guid", "{" + ZERO + "}"),
    ("guid", {"entity": "msdyn_project", "id": ZERO, "name": None}),
    ("guid", {"entity": "msdyn_project", "id": None, "name": None}),
    ("recid", 0),
    ("recid", "0"),
    ("recid", "000"),
    ("recid", ""),
    ("money", ""),
    ("money", " "),
    ("decimal", ""),
    ("date", ""),
    ("date", "1900-01-01"),
    ("date", "1900-01-01T00:00:00Z"),
    ("accounting-date", "1900-01-01T23:00:00Z"),
    ("time", ""),
    ("flag", ""),
    ("choice", " "),
]

MISFITS: list[tuple[ValueType, Any]] = [
    ("text", True),
    ("text", {"id": "x"}),
    ("text", ["a", "b"]),
    ("text", "x" * 2001),
    ("code", False),
    ("guid", "nobody"),
    ("guid", 5),
    ("guid", GUID + "0"),
    ("guid", {"entity": "msdyn_project", "id": "nobody", "name": None}),
    ("guid", {"entity": "msdyn_project", "id": 7, "name": None}),
    ("recid", "PT-1"),
    ("recid", "5.0"),
    ("recid", 2**63),
    ("recid", "9" * 19),
    ("recid", True),
    ("recid", {"id": 5}),
    ("accounting-date", "2025-02-30"),
    ("accounting-date", "2025-01-08T25:00"),
    ("money", "ten"),
    ("money", "NaN"),
    ("money", "1,000.00"),
    ("money", "9" * 30),
    ("money", 2**70),
    ("money", "1e999999999"),
    ("money", "1" * 61),
    ("money", True),
    ("money", {"Value": 5}),
    ("decimal", "1/2"),
    ("decimal", "Infinity"),
    ("decimal", []),
    ("date", "2025-02-30"),
    ("date", "2025-1-8"),
    ("date", "08/01/2025"),
    ("date", "2025-01-08 noon"),
    ("date", 20250108),
    ("time", "2025-01-08"),
    ("time", "2025-01-08T09:37:24"),
    ("time", "2025-13-08T09:37:24Z"),
    ("time", 1736329044),
    ("flag", 2),
    ("flag", "maybe"),
    ("flag", 200000000),
    ("flag", []),
    ("choice", "not approved"),
    ("choice", "x" * 201),
    ("choice", "1.5"),
    ("choice", True),
    ("choice", 2**64),
]


def ids(cases: list[Any]) -> list[str]:
    return [f"{case[0]} {str(case[1])[:40]}" for case in cases]


@pytest.mark.parametrize(("kind", "value", "kept"), FITTING, ids=ids(FITTING))
def test_a_value_of_a_kind_is_kept_in_its_one_form(kind: ValueType, value: Any, kept: Any) -> None:
    found = normaliser(kind)(value)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(("kind", "value"), NONES, ids=ids(NONES))
def test_empty_text_recid_0_and_the_zero_guid_mean_none(kind: ValueType, value: Any) -> None:
    assert normaliser(kind)(value) is None


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(("kind", "value"), MISFITS, ids=ids(MISFITS))
def test_a_value_that_does_not_fit_is_kept_as_it_came_and_marked(kind: ValueType, value: Any) -> None:
    found = normaliser(kind)(value)
    assert is_unfit(found)
    assert found["unfit"] in str(value) or found["unfit"] == "out of range"


@pytest.mark.parametrize(("value", "amount"), [("1.00001", 1_0000), ("-0.00005", -1), ("1e-40", 0), ("2.5e-5", 0)])
def test_an_amount_with_more_than_four_decimals_is_kept_rounded_and_as_it_came(value: str, amount: int) -> None:
    kept = normaliser("money")(value)
    assert (kept, plain_value(kept)) == ({"rounded": amount, "sent": value}, amount)


def test_every_kind_has_cases_of_each_sort() -> None:
    for cases in (FITTING, MISFITS):
        assert {case[0] for case in cases} == set(get_args(ValueType))
    assert {kind for kind, _ in NONES} == set(get_args(ValueType))


def test_a_guid_is_read_back_as_it_is_written() -> None:
    assert row_id_of(normaliser("guid")("{" + GUID.upper() + "}")) == GUID


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals().map(str),
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just("id"), inside, max_size=4)
    ),
    max_leaves=12,
)
KINDS: st.SearchStrategy[ValueType] = st.sampled_from(get_args(ValueType))


@pytest.mark.requirement("R2")
@given(KINDS, JSON.filter(lambda value: value is not None))
def test_no_json_value_whatever_is_refused(kind: ValueType, value: Any) -> None:
    kept = normaliser(kind)(value)
    assert kept is None or is_unfit(kept) or type(plain_value(kept)) in (str, int, bool)


@given(KINDS, JSON.filter(lambda value: value is not None))
def test_what_is_kept_fits_again(kind: ValueType, value: Any) -> None:
    kept = normaliser(kind)(value)
    if kept is None or is_unfit(kept) or kind in ("guid", "money", "time"):  # kept in another spelling or unit
        return
    assert normaliser(kind)(kept) == kept


@given(KINDS, st.integers(-(2**80), 2**80))
def test_a_whole_number_is_kept_within_64_bits_or_as_text(kind: ValueType, value: int) -> None:
    kept = normaliser(kind)(value)
    assert type(kept) is not int or abs(kept) <= 2**63


@pytest.mark.parametrize("value", ["x" * 10_000, ["x" * 10_000], {"a": list(range(10_000))}])
def test_of_a_long_misfit_only_its_beginning_is_kept(value: Any) -> None:
    assert len(unfit(value)["unfit"]) <= 200


# --- times ------------------------------------------------------------------------------------------------------------


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_is_the_same_moment_in_every_zone(moment: Any) -> None:
    offset = moment.utcoffset()
    if offset.seconds % 60 or offset.microseconds:  # RFC 3339 writes whole minutes
        return
    at = parse_time(moment.isoformat())
    if at is not None:
        assert parse_time(iso(at)) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-01-08",
        "2025-01-08T09:37",
        "2025-01-08T09:37:24",
        "2025-01-08T25:00:00Z",
        "2025-02-30T09:37:24Z",
        "2025-01-08T09:37:24+99:00",
    ],
)
def test_a_time_without_a_zone_or_out_of_range_is_none(text: str) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize(
    "text", ["2025-W02-3T09:37:24Z", "2025-01-08T093724.5Z"], ids=["a week date", "without colons"]
)
def test_a_form_of_iso_8601_that_rfc_3339_does_not_have_is_none(text: str) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_leaves_the_calendar_on_its_way_to_utc_is_none(text: str) -> None:
    assert parse_time(text) is None
