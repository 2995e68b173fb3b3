"""Which of several documents with one transaction id an actual counts for, by the naive model."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from tests.support.naive_chains import ACTUAL, corrects
from tests.support.naive_records import Record
from tests.support.naive_values import choice, day, money, row_id, total

COST = 192350000  # transaction type
TIME = 192350000  # transaction class


class Described(Protocol):
    """What a document looks like to an actual."""

    amount: Decimal | None
    currency: str | None
    on: date | None


def is_cost(record: Record) -> bool:
    return record.entity == ACTUAL and choice(record.get("msdyn_transactiontypecode")) == COST


def record_amount(record: Record) -> Decimal | None:
    return money(record.get("msdyn_amount")) if record.entity == "msdyn_expense" else None


def record_date(record: Record) -> date | None:
    return day(record.get("msdyn_transactiondate")) if record.entity == "msdyn_expense" else None


def unlike(document: Described, amount: Decimal | None, currency: str | None, on: date | None) -> tuple[int, ...]:
    """What is unlike: the amount weighs most, then the currency, then the date."""
    pairs: list[tuple[Any, Any]] = [(amount, document.amount), (currency, document.currency), (on, document.on)]
    return tuple(int(one is None or one != other) for one, other in pairs)


def shared_out(
    documents: list[Any],
    costs: list[Record],
    connections: list[Record],
    currency_of: Callable[[Record], str | None],
) -> dict[str, int]:
    """For each cost actual the place of its document; one with its reversals and replacements stays together."""
    heaps = [{actual.id} for actual in costs]
    undone, undoing = set(), set()
    for connection in connections:
        first, second = row_id(connection.get("msdyn_transaction1")), row_id(connection.get("msdyn_transaction2"))
        if corrects(connection) == "reversing":
            undoing.add(first)
            undone.add(second)
        if corrects(connection):
            touched = [heap for heap in heaps if first in heap or second in heap]
            heaps = [heap for heap in heaps if heap not in touched] + ([set().union(*touched)] if touched else [])
    looks = []
    for heap in sorted(heaps, key=min):
        members = sorted((actual for actual in costs if actual.id in heap), key=lambda actual: actual.id)
        counting = [a for a in members if a.id not in undone and a.id not in undoing] or members[:1]
        amounts = [money(actual.get("msdyn_amount")) for actual in counting]
        amount = None if None in amounts else total(a for a in amounts if a is not None)
        on = day(counting[0].get("msdyn_documentdate")) or day(counting[0].get("msdyn_accountingdate"))
        looks.append((heap, amount, currency_of(counting[0]), on))

    places: dict[int, int] = {}  # heap → document
    fits = sorted(
        (unlike(document, *look[1:]), place, number)
        for number, look in enumerate(looks)
        for place, document in enumerate(documents)
        if look[1] is not None and look[1] == document.amount
    )
    for _, place, number in fits:  # one for each document, the best first
        if place not in places.values() and number not in places:
            places[number] = place
    rest = [number for number in range(len(looks)) if number not in places]
    sums = [looks[number][1] for number in rest]
    if len(rest) > 1 and None not in sums:
        whole = [
            (unlike(document, *looks[rest[0]][1:]), place)
            for place, document in enumerate(documents)
            if place not in places.values() and document.amount == total(s for s in sums if s is not None)
        ]
        if whole:
            places.update(dict.fromkeys(rest, min(whole)[1]))
    for number in rest:
        if number not in places:
            places[number] = min((unlike(d, *looks[number][1:]), place) for place, d in enumerate(documents))[1]
    return {id_: places[number] for number, (heap, *_) in enumerate(looks) for id_ in heap}


def skips_sync(actual: Record) -> bool:
    return actual.get("assumed_skipsync") in (True, 1)
