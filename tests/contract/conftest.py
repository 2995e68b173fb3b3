"""An empty store on each database, for contract tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from store.schema.database import connect, migrate
from tests.support.containers import Database


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Engine]:
    with _migrated(f"sqlite:///{tmp_path / 'store.sqlite'}") as engine:
        yield engine


@pytest.fixture
def postgres_store(database: Database) -> Iterator[Engine]:
    with _migrated(database.create("contract")) as engine:
        yield engine


@contextmanager
def _migrated(url: str) -> Iterator[Engine]:
    engine = connect(url, write=True)
    migrate(engine)
    yield engine
    engine.dispose()
