"""A digest of the last record before each offset, which identifies the log."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty: the next worker fills it from its log."""
    op.add_column(
        "offsets",
        sa.Column("last", sa.Text, comment="A digest of the last record before it; NULL until a worker has seen it"),
    )
