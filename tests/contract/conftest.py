"""Stores on each database, for contract tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from store.queries.snapshot import Snapshot
from store.schema.database import connect, migrate
from tests.support.containers import Database
from tests.support.small_store import fill
from tests.support.stores import memory_store, reader


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Engine]:
    with _migrated(f"sqlite:///{tmp_path / 'store.sqlite'}") as engine:
        yield engine


@pytest.fixture
def postgres_store(database: Database) -> Iterator[Engine]:
    with _migrated(database.create("contract")) as engine:
        yield engine


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.containers)], name="small_store"
)
def filled(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The store of the small company, on each database."""
    if request.param == "sqlite":
        yield fill(memory_store())
        return
    database: Database = request.getfixturevalue("database")
    with _migrated(database.create("small")) as engine:
        yield fill(engine)


@pytest.fixture
def asked(small_store: Engine) -> Iterator[Snapshot]:
    """What the store of the small company answers."""
    with reader(small_store).snapshot() as snapshot:
        yield snapshot


@contextmanager
def _migrated(url: str) -> Iterator[Engine]:
    engine = connect(url, write=True)
    migrate(engine)
    yield engine
    engine.dispose()
