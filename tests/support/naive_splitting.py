"""A document's amount in accounting currency, divided like its amount, by the naive model."""

from decimal import Decimal
from typing import Protocol

from tests.support.naive_values import ARITHMETIC, rounded, total

PARTS = ("missing_actual", "missing_journal_line", "reconciled", "difference")


class Divided(Protocol):
    """What the division reads of a document."""

    currency: str | None
    rate: Decimal | None
    amount: Decimal | None
    accounting_amount: Decimal | None
    accounting_currency: str | None


def split(document: Divided, parts: dict[str, Decimal]) -> dict[str, Decimal | None]:
    """The document's accounting amount in the proportions of its parts, to the last cent."""
    currency, booked, amount = (
        document.accounting_currency,
        document.accounting_amount,
        document.amount,
    )
    if booked is None:
        return dict.fromkeys(PARTS)
    if not amount:
        same = bool(currency) and document.currency == currency
        rate = document.rate if document.rate is not None else Decimal(100) if same else None
        if rate is None and any(parts.values()):
            return dict.fromkeys(PARTS)
        shares = {part: rounded(parts[part] * (rate or 0) / 100, currency) for part in PARTS[:3]}
        return {**shares, "difference": booked - total(shares.values())}
    shares = {part: rounded(ARITHMETIC.divide(booked * value, amount), currency) for part, value in parts.items()}
    largest = max(PARTS, key=lambda part: abs(shares[part]))  # at a tie the first
    shares[largest] += booked - total(shares.values())
    return {**shares}
