"""The migrations make the tables that the code writes and reads, on both databases."""

import io
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

import store
from engine.errors import StoreError
from store import tables
from store.database import check, connect, migrate

MIGRATIONS = Path(store.__file__).parent / "migrations"


@pytest.mark.requirement("R74")
def test_the_migrations_make_just_the_tables_of_the_code(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", write=True)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", write=True)
    migrate(engine)
    migrate(engine)
    check(engine)
    engine.dispose()


@pytest.mark.requirement("R74")
def test_a_store_newer_than_the_code_is_refused_with_what_to_do(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", write=True)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"9999, which is newer .* Use the newer version, or another store"):
        migrate(engine)
    engine.dispose()


def test_the_tables_can_be_written_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in tables.metadata.sorted_tables]
    assert all('COLLATE "C"' in statement for statement in statements if " key " in statement)


def test_the_migrations_can_be_written_for_postgresql() -> None:
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["dialect"] = "postgresql"
    command.upgrade(config, "head", sql=True)
    script = written.getvalue()
    for table in tables.metadata.tables:
        assert f"CREATE TABLE {table} (" in script
