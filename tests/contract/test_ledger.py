"""Entries of the ledger and balances that people entered, on each database (R87)."""

import pytest
from sqlalchemy import Engine

from store.operational import state_topic
from store.operational.ledger_balances import KeptBalance, keep, latest
from store.operational.state_topic import StateOutbox
from store.projection.writer import Writer
from store.queries import ledger
from store.queries.reader import Reader
from tests.support.ledger_rows import (
    ACCOUNTS,
    CHART,
    DOCUMENTS,
    LATER,
    books,
    entries,
    entry,
    header,
    main_account,
    write,
)
from tests.support.stores import MAPS, publish_state
from tests.support.story import changes

pytestmark = pytest.mark.requirement("R87")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def store(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.getfixturevalue(f"{request.param}_store")
    return made


@pytest.fixture
def engine(store: Engine) -> Engine:
    # Letters of vouchers that a locale would sort otherwise.
    vouchers = {1: "b-1", 2: "B-1", 3: "a_1", 4: "Ä-1"}
    rows = [
        row
        for number, voucher in vouchers.items()
        for row in (header(number, SubledgerVoucher=voucher), entry(number, "9999999999999.9999"))
    ]
    write(Writer(store, MAPS, accounts=ACCOUNTS), [*books(), main_account(), *rows, entry(9)], cuts=[3])
    return store


def test_sums_are_exact_and_vouchers_in_the_order_of_their_bytes(engine: Engine) -> None:
    with engine.connect() as connection:
        vouchers = list(ledger.voucher_sums(connection, "USPM"))
        found = ledger.balances(connection, "USPM", ACCOUNTS, MAPS)["expense"]
        assert ledger.unknown_numbers(connection, ACCOUNTS) == ["160600"]
    assert [item.voucher for item in vouchers] == sorted(["b-1", "B-1", "a_1", "Ä-1"])
    assert sum(item.amount for item in vouchers) == 4 * (10**17 - 1)
    assert (found.amount, found.unknown, found.known_from, found.entries) == (None, "waiting", "2025-01-01", 4)


def test_an_entry_that_is_none_any_more_leaves_the_table(engine: Engine) -> None:
    write(Writer(engine, MAPS, accounts=ACCOUNTS), [header(1, minute=9, PostingLayer=2), header(9, minute=9)])
    assert [item.voucher for item in entries(engine)] == ["B-1", "a_1", "Ä-1", "V-9"]


def test_a_balance_goes_to_the_state_topic_and_comes_back(engine: Engine) -> None:
    publish_state(engine)
    balance = KeptBalance("USPM", "both", "2025-01-07", 7, -(10**17), "USD", "mira")
    keep(engine, balance)
    keep(engine, balance)
    (pending,) = StateOutbox(engine).pending(10)
    assert pending.outgoing.key == b'["ledger-balance","USPM","both","2025-01-07",7]'
    assert pending.outgoing.value is not None
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM ledger_balances")
        records = {pending.outgoing.key: pending.outgoing.value}
        assert state_topic.restore(connection, records, overwrite=True) == []
        assert latest(connection, "USPM", "both") == balance


def test_what_a_month_booked_is_found_by_the_day_of_its_vouchers(store: Engine) -> None:
    differing = [header(5, SubledgerVoucher="V-2", AccountingDate="2025-01-08"), entry(5, "1.00")]
    write(Writer(store, MAPS, accounts=ACCOUNTS), [*books(), *CHART, *changes(DOCUMENTS), *LATER, *differing], cuts=[3])
    with Reader(store, MAPS, accounts=ACCOUNTS).snapshot() as asked:
        company = asked.company("USPM")
        months = asked.roll_forward(company)
        for month in months:
            rows = list(asked.booked_rows(company, month.start))
            assert sum(row.amount or 0 for row in rows) == month.booked
        booked = {month.start: month.booked for month in months if month.booked}
        assert booked == {"2025-01": 600_000, "2025-02": 1_400_000}
        (found,) = asked.ledger_findings(company)
        assert (found.entity, found.finding.parameters["voucher"]) == ("GeneralJournalAccountEntry", "V-2")
