"""The ledger of the simulated Finance: what it posts, sends and offers, and what follows from it (R87)."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from engine.reconciliation.ledger_accounts import LedgerAccounts, read_numbers
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.queries import ledger
from streams.codec import StaticLocation, decode
from tests.support.ledger_rows import entries
from tests.support.pairs import Site, decoded_facts, documents_after, export
from tests.support.stores import MAPS, add, apply, memory_store
from tieout.simulator import deliver, simulate
from tieout.simulator.pair.ledger import EXPENSE_ACCOUNT, PROCUREMENT_ACCOUNT, TAX
from tieout.simulator.scenario import encode

pytestmark = pytest.mark.requirement("R87")

ACCOUNTS = LedgerAccounts(read_numbers([EXPENSE_ACCOUNT]), read_numbers([PROCUREMENT_ACCOUNT]))
USPM = {"company": "USPM"}


def store_of(site: Site, *, pages: bool = True) -> Engine:
    """A store that was given the pages of the ledger's tables, then the events of the pair."""
    engine, batch = memory_store(), DecodedBatch()
    for entity in _TABLES if pages else ():
        for page in site.finance.pages(site.finance.entity_set(entity)):
            for fact in decode(
                page.body, (("tieout-answered-at", b"2025-01-08T18:00:00Z"),), _place(len(batch.changes))
            ):
                add(batch, fact)
    for event in site.events:
        for fact in decode(encode(event.value), tuple(_headers(event.headers)), _place(len(batch.changes))):
            add(batch, fact)
    writer = Writer(engine, MAPS, accounts=ACCOUNTS)
    apply(writer, batch)
    while writer.recompute():
        pass
    return engine


_TABLES = [entity.entity for entity in MAPS.of_role("ledger", "company-info", "fiscal-year", "fiscal-period")]
_TABLES += [entity.entity for entity in MAPS.of_role("main-account", "ledger-header", "ledger-entry")]


def _place(offset: int) -> StaticLocation:
    return StaticLocation("tieout.finance.changes", 0, offset)


def _headers(headers: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    return ((name, value.encode()) for name, value in headers.items())


def sums(engine: Engine) -> dict[str, Decimal]:
    """The sum of each account of USPM in a store."""
    found = {EXPENSE_ACCOUNT: 0, PROCUREMENT_ACCOUNT: 0}
    with engine.connect() as connection:
        for item in ledger.voucher_sums(connection, "USPM"):
            found[EXPENSE_ACCOUNT if item.account == "expense" else PROCUREMENT_ACCOUNT] += item.amount
    return {account: Decimal(amount) / 10_000 for account, amount in found.items()}


def balances(site: Site) -> dict[str, Decimal]:
    return {account: site.pair.ledger.balance("USPM", account) for account in (EXPENSE_ACCOUNT, PROCUREMENT_ACCOUNT)}


def test_each_voucher_holds_what_its_documents_put_into_the_account() -> None:
    site = Site()
    booked: dict[str, int] = {}
    for document in documents_after(site).values():
        if document.position not in ("excluded", "not-posted"):
            assert document.accounting is not None
            amount = document.accounting.amount or 0
            booked[document.voucher or ""] = booked.get(document.voucher or "", 0) + amount
    with store_of(site).connect() as connection:
        held = {item.voucher: item.amount for item in ledger.voucher_sums(connection, "USPM")}
    assert {voucher: held.get(voucher) for voucher in booked} == booked
    assert len(booked) > 100


def test_posting_an_integration_journal_credits_the_accounts_and_sends_the_entries() -> None:
    site = Site(ledger_events=True)
    before = balances(site)
    export(site, "USPM-PT000487")
    site.processes.start("import", USPM)
    site.processes.start("posting", USPM)
    assert balances(site)[EXPENSE_ACCOUNT] < before[EXPENSE_ACCOUNT]
    assert sums(store_of(site)) == balances(site)


def test_without_ledger_events_the_tables_alone_know() -> None:
    site = Site()
    site.pair.ledger.post("USPM", EXPENSE_ACCOUNT, Decimal("12.00"), "GNJ-1", date(2025, 1, 7))
    assert not site.events
    assert sums(store_of(site)) == balances(site)


def test_a_year_end_close_a_tax_layer_and_a_manual_journal() -> None:
    site = Site(ledger_events=True)
    books, before = site.pair.ledger, balances(site)
    books.close_year("USPM", 2024)
    books.post("USPM", EXPENSE_ACCOUNT, Decimal("99.00"), "TAX-1", date(2025, 1, 7), layer=TAX)
    assert balances(site) == before
    books.post("USPM", EXPENSE_ACCOUNT, Decimal("-12.34"), "GNJ-1", date(2025, 1, 7))
    engine = store_of(site)
    assert sums(engine) == balances(site) == {**before, EXPENSE_ACCOUNT: before[EXPENSE_ACCOUNT] - Decimal("12.34")}
    (entry,) = [one for one in entries(engine) if one.voucher == "GNJ-1"]
    assert (entry.account, entry.date, entry.amount, entry.currency) == ("expense", "2025-01-07", -123_400, "USD")
    assert any(
        row.text("SubledgerVoucher") == f"USPM-CLOSE-2024-{EXPENSE_ACCOUNT}" for row in site.rows("GeneralJournalEntry")
    )


def test_the_small_company_sends_its_ledger_if_asked() -> None:
    events = simulate("small", 1, ledger=True).events
    engine = memory_store()
    batch = DecodedBatch()
    for fact in decoded_facts(list(events)):
        add(batch, fact)
    # The posting set-up of the company names the accounts.
    apply(Writer(engine, MAPS), batch)
    assert sums(engine) == balances(Site())
    with pytest.raises(ValueError, match="only the small company has a ledger"):
        deliver("large", ledger=True)


def test_all_that_was_not_sent_can_be_sent_later() -> None:
    site = Site()
    site.pair.ledger.post("USPM", EXPENSE_ACCOUNT, Decimal("12.00"), "GNJ-1", date(2025, 1, 7))
    site.pair.ledger.send()
    sent = len(site.events)
    site.pair.ledger.send()
    assert len(site.events) == sent
    assert len(site.rows("GeneralJournalAccountEntry")) < sent
    assert sums(store_of(site)) == balances(site)


def test_an_invoice_of_several_lines_has_one_voucher() -> None:
    site = Site()
    lines = {row.text("InvoiceId") for row in site.rows("VendInvoiceTrans")}
    assert len(site.rows("VendInvoiceTrans")) > len(lines)
    with store_of(site).connect() as connection:
        vouchers = [item.voucher for item in ledger.voucher_sums(connection, "USPM") if item.account != "expense"]
    posted = {row.text("LedgerVoucher") for row in site.rows("VendInvoiceJour")}
    assert len([voucher for voucher in vouchers if voucher in posted]) <= len(lines)
