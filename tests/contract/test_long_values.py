"""The longest values that are kept fit every table and index, on each database: none can stop the writer."""

import random
import string
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from store import tables
from store.database import connect, migrate
from store.writer import Writer
from tests.support import containers
from tests.support.stores import MAPS, batch_of, memory_store

LONG = "".join(random.Random(1).choices(string.ascii_letters, k=2_000))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "sqlite":
        yield memory_store()
        return
    database: containers.Database = request.getfixturevalue("database")
    engine = connect(database.create("long"), write=True)
    migrate(engine)
    yield engine
    engine.dispose()


def expense(number: str, company: str, **columns: Any) -> dict[str, Any]:
    usual = {
        "ProjTransId": number,
        "AmountCurr": "1.00",
        "ExchangeCode": "USD",
        "ApprovalStatus": 6,
        "TransDate": "2025-01-08",
    }
    return {
        "topic": "finance.changes",
        "key": number,
        "value": {
            "specversion": "1.0",
            "id": f"expense-{number[:10]}",
            "source": "/finance/contoso",
            "type": "tieout.row.changed",
            "time": "2025-01-08T15:00:00Z",
            "data": {
                "entity": "TrvExpTrans",
                "id": number,
                "operation": "upsert",
                "company": company,
                "columns": {**usual, **columns},
            },
        },
    }


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(expense("1", "USPM", Voucher=LONG, ProjId=LONG, CostType=LONG), id="texts"),
        pytest.param(expense("1", LONG, Voucher=LONG, ProjId=LONG, CostType=LONG), id="company"),
        pytest.param(expense(LONG[:200], "USPM", Voucher=LONG), id="id"),
        pytest.param(
            expense("ﬀ" * 200, LONG[:100], Voucher=LONG[:800], ProjId=LONG[800:1600], CostType=LONG[:800]), id="kept"
        ),
        pytest.param(expense("\U0001f4b6" * 200, LONG[:100], Voucher="ΐ" * 200, ProjId="ǰ" * 266), id="many bytes"),
        pytest.param(expense("ΐ" * 200, "ΐ" * 25, Voucher="ΐ" * 201, ProjId="ΐ" * 400), id="more bytes in capitals"),
    ],
)
def test_the_longest_values_stop_nothing(engine: Engine, event: dict[str, Any]) -> None:
    writer = Writer(engine, MAPS, ("USPM",))
    writer.apply(batch_of([event]))
    while writer.recompute():
        pass
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(tables.records)).scalar() == 1
