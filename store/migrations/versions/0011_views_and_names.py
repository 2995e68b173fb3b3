"""A page of what is missing is found from an index alone however it is sorted, and what is of a vendor, an invoice or a
journal from theirs. PostgreSQL knows how few rows a view has.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes of names, and those of both views again, with more columns; PostgreSQL looks at the views."""
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
        # Without them it takes most documents to be in each view, and reads them all, with two more processes.
        for bits in (1, 2, 3):
            op.execute(f"CREATE STATISTICS documents_views_{bits} ON (views & {bits}) FROM documents")
        op.execute("ANALYZE documents")
    # Readers wait from the first index that goes until all is done, so these come last.
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
