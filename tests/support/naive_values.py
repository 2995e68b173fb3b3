"""Values of columns as the naive model reads them: ids, codes, numbers, money and dates."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

DECIMALS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
ARITHMETIC = Context(prec=80)
MONEY_UNIT = Decimal("0.0001")
MONEY_MAX = Decimal(10**13)


def text(value: Any) -> str | None:
    """The text of a value; None if it has no value."""
    if value is None:
        return None
    return str(value).strip() or None


def code(value: Any) -> str | None:
    """A company or currency code: compared without case, shown in upper case."""
    parsed = text(value)
    return parsed.upper() if parsed else None


def row_id(value: Any) -> str | None:
    """An id or a reference to one: lower case, no braces; RecId 0 and the zero guid mean none."""
    if isinstance(value, dict):
        value = value.get("id")
    parsed = text(value)
    if parsed is None:
        return None
    parsed = parsed.strip("{}").lower()
    return parsed if parsed.strip("0-") else None


def number(value: Any) -> Decimal | None:
    try:
        parsed = Decimal(str(value)) if value is not None else None
    except InvalidOperation:
        return None
    return parsed if parsed is not None and parsed.is_finite() else None


def money(value: Any) -> Decimal | None:
    """An amount, rounded to four decimals; one that is too large counts as not there."""
    parsed = number(value)
    if parsed is None or parsed.adjusted() > 20:
        return None
    amount = parsed.quantize(MONEY_UNIT, rounding=ROUND_HALF_UP, context=ARITHMETIC)
    return amount if fits(amount) else None


def fits(*amounts: Decimal) -> bool:
    """Return True if every amount, received or computed, is within the limit."""
    return all(abs(amount) <= MONEY_MAX for amount in amounts)


def choice(value: Any) -> int | None:
    parsed = number(value)
    return int(parsed) if parsed is not None else None


def day(value: Any) -> date | None:
    parsed = text(value)
    return date.fromisoformat(parsed[:10]) if parsed else None


def written(on: date | None) -> str | None:
    return on.isoformat() if on else None


def moment(value: Any) -> datetime | None:
    parsed = text(value)
    if parsed is None:
        return None
    at = datetime.fromisoformat(parsed)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def decimals(currency: str | None) -> int:
    return DECIMALS.get(currency or "", 2)


def rounded(amount: Decimal, currency: str | None) -> Decimal:
    """To the currency's smallest unit, halves away from zero."""
    unit = Decimal(1).scaleb(-decimals(currency))
    return amount.quantize(unit, rounding=ROUND_HALF_UP, context=ARITHMETIC)


def shown(amount: Decimal | None, currency: str | None) -> str | None:
    """With the currency's decimals; with more when the value needs them."""
    if amount is None:
        return None
    at_least = rounded(amount, currency)
    if at_least == amount:
        return f"{at_least if at_least else abs(at_least):f}"
    return f"{amount.normalize(ARITHMETIC):f}"


def total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
