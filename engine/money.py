"""Exact money: whole numbers of ten-thousandths of a currency's unit.

Four decimals hold every ISO 4217 currency and what both systems send for amounts; a value with more digits, or beyond 64 bits,
does not fit and is not an amount (it stays in the record as it came, with a finding). Nothing here is ever a float.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from fractions import Fraction
from functools import lru_cache

UNITS = 10_000
"""Units in one whole of a currency: amounts are integers of 1/10000."""

# A trillion: two hundred such actuals in one chain still add up within the 64 bits of a database column.
LARGEST = 10**12 * UNITS

_DECIMALS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(),
        0,
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_PLAIN = re.compile(r"(-?)(\d{1,12})(?:\.(\d{0,4})0*)?", re.ASCII)


def decimals(currency: str | None) -> int:
    """Digits after the point in `currency` (ISO 4217: 2 unless listed otherwise)."""
    return _DECIMALS.get(currency or "", 2)


@lru_cache(maxsize=4096)
def units(digits: str) -> int | None:
    """The amount written as `digits`, in units of 1/10000; None when it does not fit exactly.

    >>> units("100.00"), units("-0.0001"), units("1e2"), units("0.00001"), units("ten")
    (1000000, -1, 1000000, None, None)
    """
    if plain := _PLAIN.fullmatch(digits):
        sign, whole, fraction = plain.groups()
        value = int(whole + (fraction or "").ljust(4, "0"))
        return -value if sign else value
    return _units_of_decimal(digits)


def _units_of_decimal(digits: str) -> int | None:
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return None
    # The exponent is looked at before any arithmetic: 1e999999999 must cost nothing.
    if not number.is_finite() or number.adjusted() > 20 or (number and number.adjusted() < -5):
        return None
    with localcontext() as exact:
        exact.prec = max(60, len(digits) + 10)
        scaled = number * UNITS
        if scaled != scaled.to_integral_value() or abs(scaled) > LARGEST:
            return None
        return int(scaled)


@lru_cache(maxsize=8192)
def text(amount: int, currency: str | None) -> str:
    """`amount` (units) as digits with the decimals of `currency`, with more when the value needs them; never cut.

    >>> text(1000000, "USD"), text(-5, "USD"), text(1000000, "JPY"), text(12345, "JPY")
    ('100.00', '-0.0005', '100', '1.2345')
    """
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), UNITS)
    shown = decimals(currency)
    digits = f"{fraction:04d}"
    keep = max(shown, len(digits.rstrip("0")))
    return f"{sign}{whole}.{digits[:keep]}" if keep else f"{sign}{whole}"


def smallest(currency: str | None) -> int:
    """The smallest unit of `currency`, in units of 1/10000: 100 for a cent."""
    return int(10 ** (4 - decimals(currency)))


def rounded(value: Fraction, currency: str | None) -> int:
    """`value` (units) rounded half away from zero to the smallest unit of `currency`."""
    step = smallest(currency)
    steps = abs(value) / step
    whole = (2 * steps.numerator + steps.denominator) // (2 * steps.denominator)
    return (whole if value >= 0 else -whole) * step


def converted(amount: int, rate: str | None) -> Fraction | None:
    """`amount` in the other currency of `rate`, which Finance keeps times 100 (`domain/documents.md` §0); None without a rate."""
    if rate is None:
        return None
    return Fraction(amount) * Fraction(rate) / 100


def exact_quotient(amount: int, rate: str) -> Fraction:
    """`amount` divided by a rate that is not zero, exactly."""
    return Fraction(amount) / Fraction(rate)


def split(total: int, parts: Sequence[int], whole: int, currency: str) -> list[int]:
    """`total` (units of `currency`) divided as `parts` divide `whole`; the result adds up to `total` exactly (R14).

    Each part is rounded half away from zero, the remainder goes to the part that is then largest in absolute value, at a tie to the
    first. `whole` is not zero.
    """
    if total == whole and not any(part % smallest(currency) for part in parts):
        return list(parts)
    shares = [rounded(Fraction(total * part, whole), currency) if part else 0 for part in parts]
    remainder = total - sum(shares)
    if remainder:
        largest = max(range(len(shares)), key=lambda index: (abs(shares[index]), -index))
        shares[largest] += remainder
    return shares


def plain_decimal(digits: str) -> str | None:
    """A rate or quantity in one canonical spelling (`1.50` and `1.5` are one value); None when it is no finite number of reasonable size."""
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > 30 or len(digits) > 60:
        return None
    if not number:
        return "0"
    spelled = f"{number:f}"
    return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled


def fixed(digits: str, places: int) -> str:
    """A decimal with exactly `places` digits after the point, as the grids show rates (12) and line numbers (10)."""
    with localcontext() as exact:
        exact.prec = 80
        return f"{Decimal(digits).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP):f}"
