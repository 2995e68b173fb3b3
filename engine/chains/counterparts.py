"""Vendor invoice lines of both systems that no transaction id joins, matched by their other values.

Finance deletes the pending rows of a posted invoice, which alone have the transaction id, and the line of a purchase
order has none. Such a line and its Dataverse line have one company, vendor account, vendor invoice number, line number
and amount: their *counterpart key*. The invoice number and the vendor are on the headers, so the keys of a line are
derived again whenever a header or vendor changes.

A key only suggests: it joins a Finance line without a project row to a Dataverse line without Finance rows, and only if
each is the only possible one for the other. Otherwise none is joined, and each is ambiguous.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

import msgspec

from engine import money
from engine.chains.links import COUNTERPART
from engine.chains.records import Record, Row
from engine.chains.references import ReferenceData, referenced_rows, resolve_reference
from engine.mapping.compiler import Maps

_FINANCE_LINE: Final = "invoice-line"
_DATAVERSE_LINE: Final = "dataverse-invoice-line"
_FOUND: Final = {
    _FINANCE_LINE: frozenset({"pending-project", _DATAVERSE_LINE}),
    _DATAVERSE_LINE: frozenset({"pending-line", "pending-project", _FINANCE_LINE, "expense-line"}),
}
"""The roles of rows in whose chain a line needs no counterpart: the transaction id tells it, or it has another one."""


def is_key(token: str) -> bool:
    """Return True if an identity value is a counterpart key."""
    return token[0] == COUNTERPART


def keys_of(row: Row, reference_data: ReferenceData) -> list[str]:
    """Return the counterpart keys of a row, sorted: one, or one for each vendor whose invoice the line may belong to.

    None without each of the five values: a field without value never links (R8).
    """
    if row.company is None or row["line_number"] is None:
        return []
    if row.role == _FINANCE_LINE:
        vendors = [header["vendor"] for header in referenced_rows(reference_data, row, "header")]
        amount, currency = row["amount"], row["currency"]
        return _keys(row, vendors, row["invoice"], None if amount is None else Fraction(amount), currency)
    header = resolve_reference(reference_data, row, "header") if row.role == _DATAVERSE_LINE else None
    vendor = resolve_reference(reference_data, header, "vendor") if header is not None else None
    if header is None or vendor is None or row["price"] is None or row["quantity"] is None:
        return []
    amount = Fraction(row["price"]) * Fraction(row["quantity"]) * money.UNITS
    return _keys(row, [vendor["number"]], header["number"], amount, reference_data.directory.currency(row["currency"]))


def _keys(
    row: Row, vendors: Iterable[str | None], invoice: str | None, amount: Fraction | None, currency: str | None
) -> list[str]:
    if invoice is None or amount is None:
        return []
    # Finance rounds the amount of a line to its currency; price times quantity may have more decimals.
    units = money.rounded(amount, currency)
    return sorted(
        {
            f"{COUNTERPART}{_FINANCE_LINE}:{row.company}|{vendor.upper()}|{invoice.upper()}|{row['line_number']}|{units}"
            for vendor in vendors
            if vendor is not None
        }
    )


class Joined(msgspec.Struct, frozen=True):
    """The chains after joining counterparts, as `links.components` returns them; and the lines that are ambiguous, by
    record key, each with the lines that it may belong to.
    """

    chains: list[list[str]]
    ambiguous: Mapping[str, Sequence[str]]


def join(chains: list[list[str]], records: Mapping[str, Record], maps: Maps) -> Joined:
    """Join the chains of lines that have a counterpart key in common, if each is the only one for the other.

    Complete only if `records` contains every record of every key that it touches, with its chain.
    """
    sides: dict[str, dict[str, set[int]]] = {_FINANCE_LINE: {}, _DATAVERSE_LINE: {}}
    lines: dict[int, list[str]] = {}
    for number, chain in enumerate(chains):
        # A key sorts before the other identity values.
        own = [key for key in chain if (joins := records[key].joins) and is_key(joins[0])]
        if not own:
            continue
        roles = {maps.entities[records[key].entity].role.name for key in chain}
        role = _FINANCE_LINE if _FINANCE_LINE in roles else _DATAVERSE_LINE
        if roles & _FOUND[role]:
            continue
        lines[number] = own
        for token in {token for key in own for token in records[key].joins if is_key(token)}:
            sides[role].setdefault(token, set()).add(number)
    if not all(sides.values()):
        return Joined(chains, {})
    return _join(chains, lines, _candidates(sides[_FINANCE_LINE], sides[_DATAVERSE_LINE]))


def _candidates(finance: Mapping[str, set[int]], dataverse: Mapping[str, set[int]]) -> Mapping[int, set[int]]:
    """Return the chains of the other system that have a key in common with a chain, by chain."""
    candidates: dict[int, set[int]] = {}
    for token in finance.keys() & dataverse.keys():
        for one in finance[token]:
            for other in dataverse[token]:
                candidates.setdefault(one, set()).add(other)
                candidates.setdefault(other, set()).add(one)
    return candidates


def _join(
    chains: list[list[str]], lines: Mapping[int, Sequence[str]], candidates: Mapping[int, Collection[int]]
) -> Joined:
    joined: dict[int, int] = {}
    ambiguous: dict[str, Sequence[str]] = {}
    for one, others in candidates.items():
        (*_, other) = others
        if len(others) == 1 and len(candidates[other]) == 1:
            joined[max(one, other)] = min(one, other)
        else:
            possible = sorted(key for other in others for key in lines[other])
            ambiguous.update(dict.fromkeys(lines[one], possible))
    merged = {number: list(chain) for number, chain in enumerate(chains) if number not in joined}
    for number, into in joined.items():
        merged[into] = sorted(merged[into] + chains[number])
    return Joined(sorted(merged.values()), ambiguous)
