"""Case-insensitive indexes on projects and vouchers: a filter on a prefix read every document of the company."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the case-sensitive indexes of names."""
    for name in ("project", "voucher"):
        index = f"ix_documents_{name}"
        op.drop_index(index, "documents")
        if op.get_context().dialect.name == "postgresql":
            folded = sa.text(f"lower({name}) text_pattern_ops")
        else:
            folded = sa.text(f"{name} COLLATE NOCASE")
        op.create_index(index, "documents", [folded, "company", "kind", "date", "key"], unique=False)
    if op.get_context().dialect.name == "postgresql":
        # The expressions have no statistics yet, and autovacuum would analyse only after a tenth of the rows changed.
        op.execute("ANALYZE documents")
