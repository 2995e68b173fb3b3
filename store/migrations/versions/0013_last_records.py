"""Beside each offset a digest of the last record before it: the log that it came from is known by it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty: the next worker fills it from the log that it finds."""
    op.add_column(
        "offsets",
        sa.Column("last", sa.Text, comment="A digest of the last record before it; NULL until a worker has seen it"),
    )
