"""Covering indexes: open amounts by project, and totals of a category, are read in index order without sorting.

The index by age has its original columns again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BY_PROJECT = ("project", "kind", "views", "date", "accounting_missing_actual", "accounting_missing_journal_line")
_PARTS = ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference")
_AMOUNTS = (*_PARTS, *(f"accounting_{part}" for part in _PARTS))


def upgrade() -> None:
    """Create both indexes, and the one by age without the columns of projects."""
    op.drop_index("ix_documents_open", "documents")
    for name, columns in (("ix_documents_open", ("since",)), ("ix_documents_open_projects", _BY_PROJECT)):
        op.create_index(
            name,
            "documents",
            ["company", *columns],
            unique=False,
            sqlite_where=sa.text("views & 3 <> 0"),
            postgresql_where=sa.text("views & 3 <> 0"),
        )
    op.create_index(
        "ix_documents_category",
        "documents",
        ["company", "kind", "category", "currency", "accounting_currency", "date", "views", *_AMOUNTS],
        unique=False,
    )
