"""The first letters of a project or a voucher lead to its documents, whatever their case: a filter on them read every
document of the company.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put other indexes in the place of those of the names as they are written."""
    for name in ("project", "voucher"):
        index = f"ix_documents_{name}"
        op.drop_index(index, "documents")
        if op.get_context().dialect.name == "postgresql":
            folded = sa.text(f"lower({name}) text_pattern_ops")
        else:
            folded = sa.text(f"{name} COLLATE NOCASE")
        op.create_index(index, "documents", [folded, "company", "kind", "date", "key"], unique=False)
    if op.get_context().dialect.name == "postgresql":
        # It knows nothing of what an index computes until it looks, and would look after a tenth of the rows changed.
        op.execute("ANALYZE documents")
