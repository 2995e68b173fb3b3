"""No module of the product asks which database a store is on, except the dialects; migrations are history."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import NoSuchModuleError

from store.schema.dialects import dialect_of, file_of

ROOT: Final = Path(__file__).resolve().parents[2]
PRODUCT: Final = ("engine", "handlers", "store", "streams", "tieout")
LEFT_OUT: Final = ("store/schema/dialects/", "store/migrations/")
DATABASES: Final = ("sqlite", "postgres")
ASKING: Final = {"drivername", "dialect_name", "get_backend_name", "get_dialect", "get_driver_name"}
"""Attributes and methods of SQLAlchemy that name the database."""
TESTS_OF_TEXT: Final = {"startswith", "endswith", "removeprefix", "partition", "find", "count", "index"}


def asks(source: str) -> Iterator[int]:
    """Yield the lines of a module that distinguish databases by their name or by the class of a dialect."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr="name", value=ast.Attribute(attr="dialect") | ast.Name(id="dialect")):
                yield node.lineno
            case ast.Attribute(attr=attribute) if attribute in ASKING:
                yield node.lineno
            case ast.Compare() | ast.MatchValue() if names_database(node):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr=method)) if method in TESTS_OF_TEXT and names_database(node):
                yield node.lineno
            case ast.ImportFrom(module=str(module)) if module.startswith(
                ("sqlalchemy.dialects", "store.schema.dialects.")
            ):
                yield node.lineno
            case ast.Import() if any(name.name.startswith("sqlalchemy.dialects") for name in node.names):
                yield node.lineno
            case ast.ImportFrom(module="store.schema.dialects") if {"sqlite", "postgresql", "SQLite", "PostgreSQL"} & {
                name.name for name in node.names
            }:
                yield node.lineno


def names_database(node: ast.AST) -> bool:
    """Whether a part of an expression is a text that begins with the name of a database."""
    parts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return any(isinstance(part, str) and part.startswith(DATABASES) for part in parts)


def test_only_the_dialects_ask_for_the_database() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for name in PRODUCT for path in (ROOT / name).rglob("*.py")}
    assert "store/schema/database.py" in files
    read = {name: path.read_text(encoding="utf-8") for name, path in files.items() if not name.startswith(LEFT_OUT)}
    assert {name: lines for name, text in read.items() if (lines := list(asks(text)))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "connection.dialect.name == name",
        "url.get_backend_name() in FILES",
        "is_file = kind == 'sqlite'",
        "server = url.startswith(('postgresql://', 'postgres://'))",
        "from sqlalchemy.dialects import postgresql",
        "from store.schema.dialects.sqlite import SQLite",
        "from store.schema.dialects import dialect_of, sqlite",
        "match name:\n    case 'postgresql':\n        pass",
    ],
)
def test_asking_for_the_database_is_noticed(source: str) -> None:
    assert list(asks(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "dialect_of(connection).size(connection)",
        "from store.schema.dialects import dialect_of",
        "Text().with_variant(Text(collation='C'), 'postgresql')",
        "DEFAULT = 'sqlite:///.tieout/store.sqlite'",
    ],
)
def test_what_asks_a_dialect_is_not(source: str) -> None:
    assert list(asks(source)) == []


def test_a_store_on_another_database_has_no_dialect() -> None:
    with pytest.raises(NoSuchModuleError, match="mysql"):
        dialect_of(make_url("mysql://host/store"))


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///folder/store.sqlite", Path("folder/store.sqlite")),
        ("sqlite:////var/lib/store.sqlite", Path("/var/lib/store.sqlite")),
        ("sqlite://", None),
        ("postgresql+psycopg://user@host/store", None),
        ("mysql://host/store", None),
    ],
)
def test_a_store_in_a_file_is_told_from_one_on_a_server(url: str, file: Path | None) -> None:
    assert file_of(url) == file
