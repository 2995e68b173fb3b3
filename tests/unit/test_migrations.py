"""The migrations make the tables that the code writes and reads, on both databases."""

import io
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

import store
from engine.errorlog.lifecycle import subject_of
from engine.errors import StoreError
from store.schema import tables
from store.schema.database import check, connect, migrate
from streams.embedded.log import EmbeddedLog
from streams.log import LogDamaged
from tests.support.reports import failed, report
from tests.support.stores import batch_of

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


def test_stores_that_are_made_at_the_same_time_in_one_process_do_not_meet(tmp_path: Path) -> None:
    """As when a replay creates its temporary store while a worker runs."""
    engines = [connect(f"sqlite:///{tmp_path / f'{number}.sqlite'}", write=True) for number in range(6)]
    with ThreadPoolExecutor(len(engines)) as threads:
        shapes = list(threads.map(migrate, engines))
    assert len({now for _, now in shapes}) == 1
    for engine in engines:
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


def test_errors_of_an_older_store_get_their_subjects(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", write=True)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        messages = batch_of([failed(1), failed(2, None, text="Something."), report(3, "started", "r2")]).messages
        for number, message in enumerate(messages):
            row = {"event": str(number), "process": message.process, "company": message.company}
            insert = "INSERT INTO process_messages (source, event, at, stage, process, run, company, body) VALUES"
            connection.execute(
                text(f"{insert} ('s', :event, 0, 'message', :process, 'r', :company, :body)"),
                {**row, "body": msgspec.msgpack.encode(message)},
            )
    migrate(engine)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT about FROM process_messages ORDER BY event")).scalars().all()
    assert found == [subject_of(message).key for message in messages]
    engine.dispose()


# --- a file that is no store -----------------------------------------------------------------------------------------


def another_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE documents (id INTEGER)")


def anothers_with_an_id(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA application_id = 1234")


def with_migrations_of_its_own(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE alembic_version (version_num TEXT)")


def a_log(path: Path) -> None:
    EmbeddedLog.open(path, "write").close()


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (another_programs, "is the database of another program"),
        (anothers_with_an_id, "is the database of another program"),
        (with_migrations_of_its_own, "is the database of another program"),
        (a_log, "is the event log, not a store"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_not_touched(
    tmp_path: Path, make: Callable[[Path], None], what: str, write: bool
) -> None:
    path = tmp_path / "file.sqlite"
    make(path)
    before = path.read_bytes()
    engine = connect(f"sqlite:///{path}", write=write)
    with pytest.raises(StoreError, match=rf"file\.sqlite {what}: check TIEOUT_STORE. The file was left as it is"):
        migrate(engine) if write else check(engine)
    engine.dispose()
    assert path.read_bytes() == before


def test_a_store_says_in_its_header_that_it_is_one_and_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    engine = connect(f"sqlite:///{path}", write=True)
    migrate(engine)
    engine.dispose()
    assert path.read_bytes()[68:72] == b"TIES"
    with pytest.raises(LogDamaged, match="is a store, not an event log: check TIEOUT_BROKER"):
        EmbeddedLog.open(path, "write")


@pytest.mark.requirement("R74")
def test_a_store_from_before_gets_its_id_when_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    for _ in range(2):
        engine = connect(f"sqlite:///{path}", write=True)
        migrate(engine)
        engine.dispose()
        assert path.read_bytes()[68:72] == b"TIES"
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("PRAGMA application_id = 0")
    engine = connect(f"sqlite:///{path}")
    check(engine)
    engine.dispose()
