"""Amounts of simulated documents: decimals by currency, rounding, and the division of an accounting amount (R14).

Written for the simulator alone, so that the engine's arithmetic is compared with an independent implementation.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

_DECIMALS = {"JPY": 0, "KWD": 3}


@lru_cache(maxsize=64)
def smallest(currency: str) -> Decimal:
    """Return the smallest unit of a currency: 0.01 unless listed otherwise."""
    return Decimal(1).scaleb(-_DECIMALS.get(currency, 2))


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Round an amount to the smallest unit of a currency, half away from zero."""
    return amount.quantize(smallest(currency), ROUND_HALF_UP)


def divided(total: Decimal, parts: Sequence[Decimal], whole: Decimal, currency: str) -> list[Decimal]:
    """Divide `total` in the proportions of `parts` to `whole`.

    Each share is rounded; the remainder goes to the largest share, at a tie to the first. The sum is `total` exactly.
    `whole` must not be zero.
    """
    step = smallest(currency)
    shares = [_share(total, part, whole, step) for part in parts]
    sizes = [abs(share) for share in shares]
    shares[sizes.index(max(sizes))] += total - sum(shares)
    return shares


def proportion(total: Decimal, part: Decimal, whole: Decimal, currency: str) -> Decimal:
    """Return the share of `total` that `part` is of `whole`, rounded; `whole` must not be zero."""
    return _share(total, part, whole, smallest(currency))


def _share(total: Decimal, part: Decimal, whole: Decimal, step: Decimal) -> Decimal:
    """Return `total` * `part` / `whole` as a multiple of `step`, half away from zero; exact, in integers."""
    above, below = total * part, whole * step
    scale = max(0, -min(int(above.as_tuple().exponent), int(below.as_tuple().exponent)))
    number, by = int(above.scaleb(scale)), int(below.scaleb(scale))
    steps = (2 * abs(number) + abs(by)) // (2 * abs(by))
    return (steps if (number < 0) == (by < 0) else -steps) * step
