"""A page of what is missing is found from an index alone however it is sorted, and PostgreSQL knows how few rows a view
has.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both indexes again, with more columns, and have PostgreSQL look at the views."""
    for bit, view in ((1, "missing_actuals"), (2, "missing_journal_lines")):
        name = f"ix_documents_{view}"
        op.drop_index(name, "documents")
        op.create_index(
            name,
            "documents",
            ["company", "kind", "date", "key", "views", "amount", "since"],
            unique=False,
            sqlite_where=sa.text(f"views & {bit} <> 0"),
            postgresql_where=sa.text(f"views & {bit} <> 0"),
        )
    if op.get_context().dialect.name == "postgresql":
        # Without them it takes most documents to be in each view, and reads them all, with two more processes.
        for bits in (1, 2, 3):
            op.execute(f"CREATE STATISTICS documents_views_{bits} ON (views & {bits}) FROM documents")
        op.execute("ANALYZE documents")
