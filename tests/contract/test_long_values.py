"""The longest values that are kept fit every table and index, on each database: none can stop the writer."""

import string
from collections.abc import Iterator
from random import Random

import pytest
from sqlalchemy import Engine, select

from store.projection.writer import Writer
from store.schema import tables
from store.schema.database import connect, migrate
from tests.support import containers
from tests.support.stores import MAPS, apply, batch_of, memory_store
from tests.support.workspace import posted_expense


def long(characters: str, number: int) -> str:
    """Text that cannot be made shorter: PostgreSQL looks at the size of what it has compressed."""
    return "".join(Random(number).choices(characters, k=number))


LETTERS = string.ascii_letters + string.digits
GROWING = "".join(one for one in map(chr, range(0x80, 0x2000)) if len(one.upper().encode()) > len(one.encode()))
"""Characters that take more bytes in capitals."""
EMOJI = "".join(map(chr, range(0x1F300, 0x1F600)))


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


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(
    ("number", "company", "texts", "kept"),
    [
        ("1", "USPM", long(LETTERS, 800), True),
        ("1", "USPM", long(LETTERS, 801), False),
        (long(LETTERS, 200), long(LETTERS, 100), long(LETTERS, 800), True),
        (long(EMOJI, 200), long(LETTERS, 100), long(EMOJI, 200), True),
        (long(EMOJI, 200), long(LETTERS, 101), long(EMOJI, 201), False),
        (long(GROWING, 200), long(GROWING, 10), long(GROWING, 130), True),
        (long(GROWING, 200), long(GROWING, 100), long(GROWING, 400), False),
        ("1", long(LETTERS, 2_000), long(LETTERS, 2_000), False),
    ],
)
def test_the_longest_values_that_are_kept_stop_nothing(
    engine: Engine, number: str, company: str, texts: str, kept: bool
) -> None:
    writer = Writer(engine, MAPS, ("USPM",))
    apply(writer, batch_of([posted_expense(number, "1.00", company, Voucher=texts, ProjId=texts, CostType=texts)]))
    while writer.recompute():
        pass
    with engine.connect() as connection:
        table = tables.documents.c
        (found,) = connection.execute(select(table.voucher, table.project, table.category))
    assert set(found) == {texts if kept else None}
