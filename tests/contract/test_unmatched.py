"""Records that only one system has, on each database: their sums equal the totals."""

import pytest
from sqlalchemy import Engine

from engine.events.facts import Change
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.queries.account import TOGETHER
from tests.support.stores import MAPS, apply, reader
from tests.support.story import REFERENCE, changes, id_of

TOLD = """
    project   D1   P-1
    expense   E1   100.00
    record    R1   approved
    actual    A1   100.00 currency=USD project=D1 document-date=2025-01-07
    actual    A11  120.00 type=unbilled-sales of=R1 currency=USD booked=120.00
    expense   E2   50.00 currency=EUR rate=110
    record    R2   approved
    actual    A2   50.00 currency=EUR
    expense   E3   30.00
    record    R3   approved
    actual    A3   30.00 currency=USD
    staging   S3
    expense   E4   40.00
    record    R4   approved
    actual    A4   40.00 currency=USD skip-sync=true
    expense   E5   60.00
    record    R5   approved @
    actual    A5   60.00 @
    expense   E6   draft
    record    R6   draft @
    actual    A6   70.00 @
    actual    A7   80.00 of= currency=USD accounting-date=2025-01-05
    actual    A8   90.00 of= currency=JPY
    actual    A9   10.00 of= currency=EUR @GBPM
    journal   J20  number=USPM-020 posted
    line      L20  posted voucher=PJ-20 amount=250.00 currency=USD project=P-1 accounting-date=2025-01-06
    line      L21  draft voucher=PJ-21 amount=1.00 currency=USD in=J20
    line      L22  posted voucher=PJ-22 amount=2.00 currency=EUR in=J22
    line      L23  posted voucher=PJ-23 amount=3.00 currency=EUR @GBPM
    line      L25  voucher=PJ-25 amount=5.00 currency=USD in=J20
    line      L26  voucher=PJ-26 amount=6.00 currency=USD
    line      L24  posted voucher=PJ-24 amount=4.00 currency=USD
    actual    A24  4.00 currency=USD
    staging   S24  line=L24
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    writer = Writer(store, MAPS, None)
    apply(writer, batch(changes(REFERENCE)))
    apply(writer, batch(changes(TOLD)))
    while writer.recompute():
        pass
    return store


def batch(told: list[Change]) -> DecodedBatch:
    found = DecodedBatch()
    for change in told:
        entity_map = MAPS.find(change.entity)
        assert entity_map is not None
        found.changes.append((change, entity_map))
    return found


@pytest.mark.requirement("R32")
def test_the_actuals_that_never_reached_finance_make_the_sum_of_the_summary(engine: Engine) -> None:
    with reader(engine).snapshot() as asked:
        for code, records in (("USPM", 6), ("GBPM", 1)):
            company = asked.company(code)
            counted = asked.summary(company, asked.window(company, "2024-01-01", "2025-01-08")).not_synced
            found = list(asked.all_not_synced(company))
            assert counted.documents == len(found) == records
            assert counted.amount == sum(one.accounting_amount or 0 for one in found)


@pytest.mark.requirement("R32", "R36")
def test_an_actual_that_never_reached_finance_says_what_it_is_whose_it_is_and_since_when(engine: Engine) -> None:
    with reader(engine).snapshot() as asked:
        found = list(asked.all_not_synced(asked.company("USPM")))
    told = {
        one.id: (one.type, one.date, one.project, one.amount, one.currency, one.accounting_amount, one.document)
        for one in found
    }
    assert told == {
        id_of("A1"): ("cost", "2025-01-07", "P-1", 100_0000, "USD", 100_0000, "USPM/T1"),
        id_of("A11"): ("unbilled-sales", None, None, 120_0000, "USD", 120_0000, "USPM/T1"),
        id_of("A2"): ("cost", None, None, 50_0000, "EUR", 55_0000, "USPM/T2"),
        id_of("A5"): ("cost", None, None, 60_0000, "USD", 60_0000, "USPM/T5"),
        id_of("A7"): ("cost", "2025-01-05", None, 80_0000, "USD", 80_0000, None),
        id_of("A8"): ("cost", None, None, 90_0000, "JPY", None, None),
    }
    assert [one.evidence.at for one in found] == sorted((one.evidence.at for one in found), reverse=True)
    assert all(one.accounting_currency == "USD" for one in found)


@pytest.mark.requirement("R32")
@pytest.mark.parametrize("chains", [1, 2, 4, 5])
def test_pages_of_actuals_hold_each_once(engine: Engine, chains: int) -> None:
    with reader(engine).snapshot() as asked:
        company = asked.company("USPM")
        everything = {one.id for one in asked.all_not_synced(company)}
        pages = [asked.not_synced(company, None, chains)]
        while pages[-1].after is not None:
            pages.append(asked.not_synced(company, pages[-1].after, chains))
    assert sorted(one.id for page in pages for one in page.rows) == sorted(everything)
    assert len(pages) == -(-5 // chains)


@pytest.mark.requirement("R37")
def test_the_postings_without_a_document_make_their_part_of_the_account(engine: Engine) -> None:
    with reader(engine).snapshot() as asked:
        company = asked.company("USPM")
        part = asked.account_parts(company).accounts[TOGETHER].parts["posting-without-document"]
        found = list(asked.part_rows(company, None, "posting-without-document"))
        assert {(one.voucher, one.date, one.amount, one.project, one.document) for one in found} == {
            # It has no state of its own: its journal is posted.
            ("PJ-25", None, -5_0000, None, None),
            # 2 EUR at the rate that no event says.
            ("PJ-22", None, None, None, None),
            ("PJ-20", "2025-01-06", -250_0000, "P-1", None),
            # Its actual has no source.
            ("PJ-24", None, -4_0000, None, None),
        }
        assert (part.amount, part.count, part.unknown) == (-259_0000, 4, 1)
        (other,) = asked.part_rows(asked.company("GBPM"), None, "posting-without-document")
        # Its ledger is not known: the amount is in the currency of the line.
        assert (other.voucher, other.amount, other.currency) == ("PJ-23", -3_0000, "EUR")
