"""Exact money: nothing is ever a float, nothing is ever lost."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine import money

UNITS = st.integers(-money.LARGEST, money.LARGEST)
CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD", "CLF", "XXX"])


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    ("digits", "units"),
    [
        ("100.00", 100_0000),
        ("100", 100_0000),
        ("0.0001", 1),
        ("-0.0001", -1),
        ("-25.5", -25_5000),
        ("0", 0),
        ("-0.00", 0),
        ("1e2", 100_0000),
        ("1E-4", 1),
        ("1.10000000000000000000", 1_1000),
        ("0.1", 1000),
        ("0.30000000000000000", 3000),
        ("999999999999.9999", 9_999_999_999_999_999),
        ("10000000000000", money.LARGEST),
        ("+1", 1_0000),
        (".5", 5000),
        ("5.", 5_0000),
    ],
)
def test_digits_become_units_of_a_ten_thousandth(digits: str, units: int) -> None:
    assert money.units(digits) == units


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    "digits",
    [
        "0.00001",
        "1.00005",
        "1e-5",
        "1e30",
        "1e999999999",
        "-1e999999999",
        "9" * 40,
        "NaN",
        "Infinity",
        "ten",
        "",
        "1,000.00",
        "1_000",
        "１２３",
        "١٢٣",
        "1e५",
        "10000000000000.0001",
        "1e99999999999999999999",
        "0x10",
        ".",
        "+-1",
    ],
)
def test_what_does_not_fit_exactly_is_no_amount(digits: str) -> None:
    assert money.units(digits) is None


@given(UNITS, CURRENCIES)
def test_text_and_units_are_each_others_inverse(amount: int, currency: str) -> None:
    shown = money.text(amount, currency)
    assert money.units(shown) == amount
    assert Decimal(shown) * money.UNITS == amount


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**13), max_value=10**13))
def test_whatever_way_a_decimal_is_written_it_is_the_same_amount(value: Decimal) -> None:
    for spelled in (f"{value:f}", str(value), f"{value:E}", f"{value:f}000"):
        assert money.units(spelled) == int(value * money.UNITS)


@given(st.text(max_size=70))
def test_any_text_is_an_amount_or_none(digits: str) -> None:
    assert isinstance(money.units(digits), int | None)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (100_0000, "USD", "100.00"),
        (100_0000, "JPY", "100"),
        (100_0000, "KWD", "100.000"),
        (100_0000, "CLF", "100.0000"),
        (100_0000, None, "100.00"),
        (0, "USD", "0.00"),
        (0, "JPY", "0"),
        (-5000, "USD", "-0.50"),
        (-5, "USD", "-0.0005"),
        (1_2345, "JPY", "1.2345"),
        (1_5000, "JPY", "1.5"),
        (1_2340, "USD", "1.234"),
    ],
)
def test_an_amount_shows_the_decimals_of_its_currency_and_more_when_it_has_more(
    amount: int, currency: str | None, shown: str
) -> None:
    assert money.text(amount, currency) == shown


@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        (Fraction(50), "USD", 100),  # half a cent
        (Fraction(-50), "USD", -100),
        (Fraction(49), "USD", 0),
        (Fraction(499, 10), "USD", 0),
        (Fraction(501, 10), "USD", 100),
        (Fraction(150), "USD", 200),
        (Fraction(5000), "JPY", 10_000),
        (Fraction(-4999), "JPY", 0),
        (Fraction(5), "KWD", 10),
        (Fraction(1, 2), "CLF", 1),
    ],
)
def test_half_a_smallest_unit_is_rounded_away_from_zero(value: Fraction, currency: str, expected: int) -> None:
    assert money.rounded(value, currency) == expected


@pytest.mark.requirement("R14")
@given(UNITS, st.integers(1, 10_000), CURRENCIES)
def test_rounding_agrees_with_decimal_arithmetic(amount: int, divisor: int, currency: str) -> None:
    step = Decimal(1).scaleb(4 - money.decimals(currency))
    exact = Fraction(amount, divisor) / Fraction(step)
    whole = abs(exact.numerator) // exact.denominator
    half_up = whole + (2 * (abs(exact) - whole) >= 1)
    expected = half_up * (1 if exact >= 0 else -1) * int(step)
    assert money.rounded(Fraction(amount, divisor), currency) == expected


@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    ("total", "parts", "whole", "currency", "expected"),
    [
        (110_0000, [0, 40_0000, 60_0000, 0], 100_0000, "USD", [0, 44_0000, 66_0000, 0]),
        (100_0100, [33_3400, 33_3300, 33_3300, 0], 100_0000, "USD", [33_3500, 33_3300, 33_3300, 0]),
        (2_0100, [0, 1_0000, 1_0000, 0], 2_0000, "USD", [0, 1_0000, 1_0100, 0]),
        (-2_0100, [0, -1_0000, -1_0000, 0], -2_0000, "USD", [0, -1_0000, -1_0100, 0]),
        (0, [0, 40_0000, 60_0000, 0], 100_0000, "USD", [0, 0, 0, 0]),
        (1505_0000, [6_6700, 0, 3_3300, 0], 10_0000, "JPY", [1004_0000, 0, 501_0000, 0]),
        (-100_0000, [100_0000, 0, 0, 0], 100_0000, "USD", [-100_0000, 0, 0, 0]),
    ],
    ids=[
        "proportions",
        "remainder",
        "tie",
        "negative tie",
        "nothing booked",
        "no decimals",
        "booked with another sign",
    ],
)
def test_an_amount_is_divided_as_its_parts_are(
    total: int, parts: list[int], whole: int, currency: str, expected: list[int]
) -> None:
    assert money.split(total, parts, whole, currency) == expected


@pytest.mark.requirement("R14")
@given(UNITS, st.tuples(UNITS, UNITS, UNITS), UNITS.filter(bool), CURRENCIES)
@example(1, (1, 1, 1), 3, "JPY")
def test_the_shares_add_up_to_the_whole_exactly(
    total: int, three: tuple[int, int, int], whole: int, currency: str
) -> None:
    # As a document is divided: the fourth part is the rest after the first three.
    parts = [*three, whole - sum(three)]
    assert sum(money.split(total, parts, whole, currency)) == total


@pytest.mark.requirement("R14")
@given(st.integers(1, 10**12), st.lists(st.integers(0, 10**10), min_size=3, max_size=3), CURRENCIES)
def test_every_share_but_one_is_its_proportion_rounded(total: int, three: list[int], currency: str) -> None:
    whole = sum(three) + 1
    parts = [*three, 1]
    step = money.smallest(currency)
    unlike = 0
    for share, part in zip(money.split(total, parts, whole, currency), parts, strict=True):
        exact = Fraction(total * part, whole)
        unlike += 2 * abs(share - exact) > step
    assert unlike <= 1 or total == whole


@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    ("amount", "rate", "expected"),
    [
        (100_0000, "110", 110_0000),
        (100_0000, "0.67", 6700),
        (-5_0000, "100", -5_0000),
        (1, "0.67", 0),
        (1, None, None),
        (money.LARGEST, "100", money.LARGEST),
        (money.LARGEST, "100.1", None),
        (-1_0000, "1" + "0" * 30, None),
    ],
)
def test_finance_keeps_rates_times_100(amount: int, rate: str | None, expected: int | None) -> None:
    assert money.converted(amount, rate, "USD") == expected


@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    ("amount", "rate", "expected"),
    [
        (110_0000, "110", 100_0000),
        (-100_0000, "300", -33_3300),
        (1, None, None),
        (1, "0", None),
        (1_0000, "0." + "0" * 28 + "1", None),
    ],
)
def test_an_amount_goes_back_through_its_rate(amount: int, rate: str | None, expected: int | None) -> None:
    assert money.converted_back(amount, rate, "USD") == expected


RATES = st.decimals(allow_nan=False, allow_infinity=False).map(str).map(money.plain_decimal)


@given(UNITS, RATES, CURRENCIES)
@example(money.LARGEST, "9" * 30 + "." + "9" * 29, "USD")
@example(money.LARGEST, "0." + "0" * 29 + "9" * 28, "CLF")
def test_whatever_the_rate_what_comes_of_it_can_be_kept(amount: int, rate: str | None, currency: str) -> None:
    for result in (money.converted(amount, rate, currency), money.converted_back(amount, rate, currency)):
        assert result is None or abs(result) <= money.LARGEST


def test_some_ninety_amounts_can_be_added_up_in_64_bits() -> None:
    assert 92 * money.LARGEST < 2**63
    assert money.fits(-money.LARGEST, 0, money.LARGEST)
    assert not money.fits(0, money.LARGEST + 1)
    assert not money.fits(0, None)


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    ("digits", "canonical"),
    [
        ("1.50", "1.5"),
        ("100.000000000000", "100"),
        ("1E2", "100"),
        ("-0.00", "0"),
        ("0.0001", "0.0001"),
        ("1E-6", "0.000001"),
        ("0e99", "0"),
        ("NaN", None),
        ("1e999999999", None),
        ("1_0", None),
        ("１２", None),
        ("9" * 61, None),
        ("rate", None),
    ],
)
def test_a_rate_has_one_spelling(digits: str, canonical: str | None) -> None:
    assert money.plain_decimal(digits) == canonical


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=12))
def test_a_rate_keeps_its_value(value: Decimal) -> None:
    spelled = money.plain_decimal(str(value))
    assert spelled is not None
    assert Decimal(spelled) == value
    assert money.plain_decimal(spelled) == spelled


@pytest.mark.parametrize(
    ("digits", "places", "shown"),
    [("100", 12, "100.000000000000"), ("1", 10, "1.0000000000"), ("0.6666666666666667", 12, "0.666666666667")],
)
def test_rates_and_line_numbers_show_a_fixed_number_of_decimals(digits: str, places: int, shown: str) -> None:
    assert money.fixed(digits, places) == shown
    assert money.fixed(digits, places) == f"{Decimal(digits).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):f}"
