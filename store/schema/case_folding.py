"""Case-insensitive prefix indexes on both databases.

People type the first letters of a voucher or a project in any case. A SQLite index has the collation NOCASE for that; a
PostgreSQL index stores the lower-case text.
"""

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class folded(FunctionElement[str]):  # noqa: N801 - as SQLAlchemy names its functions
    """Case-folded text: equal for texts that differ in case alone (on SQLite in the case of ASCII letters)."""

    type = Text()
    inherit_cache = True

    def __init__(self, text: ColumnElement[str]) -> None:
        super().__init__(text)
        # `postgresql_ops` of an index refers to the expression by this key.
        self.key = f"{text.key}_folded"


@compiles(folded)
def _folded(element: folded, compiler: Any, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(folded, "sqlite")
def _folded_on_sqlite(element: folded, compiler: Any, **options: Any) -> str:
    return f"{compiler.process(element.clauses, **options)} COLLATE NOCASE"
