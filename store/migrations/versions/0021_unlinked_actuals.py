"""Cost actuals without a document."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty: a rebuild adds earlier actuals."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "unlinked_actuals",
        sa.Column("chain", key, nullable=False),
        sa.Column(
            "token", key, nullable=False, comment="Company, amount, date and project: what a document has in common"
        ),
        sa.Column("actual", key, nullable=False),
        sa.Column("currency", sa.Text(), comment="NULL if unknown"),
        sa.Column("category", sa.Text(), comment="NULL if unknown"),
        sa.PrimaryKeyConstraint("chain", "token", "actual"),
        comment="Cost actuals without a document, by each of their dates",
    )
    op.create_index("ix_unlinked_actuals_token", "unlinked_actuals", ["token"], unique=False)
