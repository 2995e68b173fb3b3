"""Names without regard to case, as an index on either database holds them.

People type the first letters of a voucher or a project, in any case. SQLite's indexes have an order for that, and
PostgreSQL's hold the letters made small.
"""

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class folded(FunctionElement[str]):  # noqa: N801 - as SQLAlchemy names its functions
    """A text that is equal to, and begins as, another one that differs in case alone (on SQLite of ASCII letters)."""

    type = Text()
    inherit_cache = True

    def __init__(self, text: ColumnElement[str]) -> None:
        super().__init__(text)
        # By which an index names its operators.
        self.key = f"{text.key}_folded"


@compiles(folded)
def _folded(element: folded, compiler: Any, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(folded, "sqlite")
def _folded_on_sqlite(element: folded, compiler: Any, **options: Any) -> str:
    return f"{compiler.process(element.clauses, **options)} COLLATE NOCASE"
