"""Exact money: integers in units of 1/10000 of a currency's main unit.

Four decimals represent every ISO 4217 currency and the amounts that both systems send. An amount with more decimals is
rounded half up, away from zero, with a finding; a value beyond `LARGEST` is no amount: it stays in the record as it
was sent, with a finding. No value is ever a float.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

UNITS = 10_000
"""Units per main unit of a currency: amounts are integers of 1/10000."""

LARGEST = 10**13 * UNITS
"""The largest amount, received or computed: ten trillion, which no document line reaches in any currency.

Stores hold amounts in 64 bits. With this bound, the sum of some ninety amounts cannot overflow.
"""

_DECIMALS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(),
        0,
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_PLAIN = re.compile(r"(-?)(\d{1,12})(?:\.(\d{0,4})0*)?", re.ASCII)
# The notation of both systems; `Decimal` alone would also accept 1_000, digits of other scripts and NaN.
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII)


def decimals(currency: str | None) -> int:
    """Return the number of decimals of `currency` (ISO 4217: 2 unless listed otherwise)."""
    return _DECIMALS.get(currency or "", 2)


@lru_cache(maxsize=4096)
def units(digits: str) -> int | None:
    """Return the amount written as `digits`, in units of 1/10000; None if it has no exact representation within the
    bound.

    >>> units("100.00"), units("-0.0001"), units("1e2"), units("0.00001"), units("ten")
    (1000000, -1, 1000000, None, None)
    """
    if plain := _PLAIN.fullmatch(digits):
        sign, whole, fraction = plain.groups()
        value = int(whole + (fraction or "").ljust(4, "0"))
        return -value if sign else value
    return _units_of_decimal(digits)


def _units_of_decimal(digits: str) -> int | None:
    if not _NUMBER.fullmatch(digits):
        return None
    number = Decimal(digits)
    # Check the exponent before any arithmetic: 1e999999999 must be cheap to refuse.
    if number.adjusted() > 20 or (number and number.adjusted() < -5):
        return None
    with localcontext() as exact:
        exact.prec = max(60, len(digits) + 10)
        scaled = number * UNITS
        if scaled != scaled.to_integral_value() or not fits(int(scaled)):
            return None
        return int(scaled)


def rounded_units(digits: str) -> int | None:
    """Return the amount written as `digits`, rounded to units of 1/10000, half up, away from zero; None if it is no
    number, or beyond the bound.

    >>> rounded_units("1234.5600000000002"), rounded_units("-0.00005"), rounded_units("1e-99"), rounded_units("ten")
    (12345600, -1, 0, None)
    """
    if not _NUMBER.fullmatch(digits):
        return None
    number = Decimal(digits)
    # Check the exponent before any arithmetic: 1e999999999 must be cheap to refuse.
    if number.adjusted() > 20:
        return None
    if number.adjusted() < -5:
        return 0
    with localcontext() as exact:
        exact.prec = max(60, len(digits) + 10)
        amount = int((number * UNITS).to_integral_value(rounding=ROUND_HALF_UP))
    return amount if fits(amount) else None


def fits(*amounts: int | None) -> bool:
    """Return True if every amount (units) is within `LARGEST`. None, an unknown amount, does not fit.

    >>> fits(0, -LARGEST), fits(LARGEST + 1), fits(None)
    (True, False, False)
    """
    for amount in amounts:  # noqa: SIM110 - on the hot path, where a generator costs as much as the comparisons
        if amount is None or not -LARGEST <= amount <= LARGEST:
            return False
    return True


@lru_cache(maxsize=8192)
def text(amount: int, currency: str | None) -> str:
    """Format `amount` (units) with the decimals of `currency`, or more if the value needs them; never truncated.

    >>> text(1000000, "USD"), text(-5, "USD"), text(1000000, "JPY"), text(12345, "JPY")
    ('100.00', '-0.0005', '100', '1.2345')
    """
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), UNITS)
    digits = f"{fraction:04d}"
    places = max(decimals(currency), len(digits.rstrip("0")))
    return f"{sign}{whole}.{digits[:places]}" if places else f"{sign}{whole}"


@lru_cache(maxsize=512)
def smallest(currency: str | None) -> int:
    """Return the smallest unit of `currency`, in units of 1/10000: 100 for a cent."""
    return int(10 ** (4 - decimals(currency)))


def rounded(value: Fraction, currency: str | None) -> int:
    """Round `value` (units) half away from zero to the smallest unit of `currency`."""
    step = smallest(currency)
    steps = abs(value) / step
    whole = (2 * steps.numerator + steps.denominator) // (2 * steps.denominator)
    return (whole if value >= 0 else -whole) * step


def converted(amount: int, rate: str | None, currency: str | None) -> int | None:
    """Convert `amount` by a rate and round to `currency`. Finance stores rates times 100 (`docs/domain/documents.md`
    §0).

    None without a rate, and if the result does not fit.
    """
    if rate is None:
        return None
    return _fitting(rounded(at_rate(amount, rate), currency))


def at_rate(amount: int, rate: str) -> Fraction:
    """Return `amount` converted by a rate, exactly."""
    return amount * Fraction(rate) / 100


def converted_back(amount: int, rate: str | None, currency: str | None) -> int | None:
    """Return the amount that `converted` turns into `amount`, rounded to `currency`; None also at a rate of 0."""
    if rate is None or rate == "0":
        return None
    return _fitting(rounded(amount * 100 / Fraction(rate), currency))


def _fitting(amount: int) -> int | None:
    return amount if fits(amount) else None


def split(total: int, parts: Sequence[int], whole: int, currency: str) -> list[int]:
    """Divide `total` (units of `currency`) in the proportions in which `parts` divide `whole`. The sum is exactly
    `total` (R14).

    Each share is rounded half away from zero; the remainder goes to the largest share in absolute value, on a tie to
    the first. `whole` is not zero. A share may exceed `LARGEST` (see `fits`).
    """
    step = smallest(currency)
    if total == whole and not any(part % step for part in parts):
        return list(parts)
    shares = [rounded(Fraction(total * part, whole), currency) if part else 0 for part in parts]
    remainder = total - sum(shares)
    if remainder:
        largest = max(range(len(shares)), key=lambda index: (abs(shares[index]), -index))
        shares[largest] += remainder
    return shares


def plain_decimal(digits: str) -> str | None:
    """Return a rate or quantity in canonical form: `1.50` and `1.5` are one value.

    None if it is not a number of reasonable size, which bounds the cost of computing with it.
    """
    if len(digits) > 60 or not _NUMBER.fullmatch(digits):
        return None
    number = Decimal(digits)
    if not number:
        return "0"
    if abs(number.adjusted()) > 30:
        return None
    spelled = f"{number:f}"
    return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled


def fixed(digits: str, places: int) -> str:
    """Format a decimal with exactly `places` decimals, as the grids show rates (12) and line numbers (10)."""
    with localcontext() as exact:
        exact.prec = 80
        return f"{Decimal(digits).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP):f}"
