"""What is open by project has an index of its own, in the order of projects: nothing is sorted to add it up. The one by
age is short again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BY_PROJECT = ("project", "kind", "views", "date", "accounting_missing_actual", "accounting_missing_journal_line")


def upgrade() -> None:
    """Make the index, and the other one without its columns."""
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
