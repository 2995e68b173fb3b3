"""The inbox: commands of processes that cannot write to the log."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "inbox",
        sa.Column("id", key, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="Since when it waits, by the clock of who left it"),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="Commands for their topic, from processes that cannot write to the log: store.inbox; no projection",
    )
