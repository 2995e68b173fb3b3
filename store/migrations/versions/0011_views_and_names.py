"""Covering indexes of the views of missing amounts for every sort order, and indexes on vendors, invoices and journals.
Extended statistics for PostgreSQL on the number of rows of a view.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes of names, and re-create those of both views with more columns; analyse the views."""
    on_postgresql = op.get_context().dialect.name == "postgresql"
    for name in ("vendor", "invoice", "journal"):
        folded = sa.text(f"lower({name}) text_pattern_ops" if on_postgresql else f"{name} COLLATE NOCASE")
        op.create_index(
            f"ix_documents_{name}",
            "documents",
            [folded, "company", "kind", "date", "key"],
            unique=False,
            sqlite_where=sa.text(f"{name} IS NOT NULL"),
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )
    if on_postgresql:
        # Without statistics PostgreSQL assumes most documents to be in each view, and scans them all in parallel.
        for bits in (1, 2, 3):
            op.execute(f"CREATE STATISTICS documents_views_{bits} ON (views & {bits}) FROM documents")
        op.execute("ANALYZE documents")
    # Dropping an index blocks readers until the commit, so these statements come last.
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
