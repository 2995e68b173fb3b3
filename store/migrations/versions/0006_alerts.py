"""Alerts: active conditions, and the stages that were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "alerts",
        sa.Column("key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("says", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("told", sa.Text(), nullable=True, comment="The stage that was told last: began"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="For how long somebody is telling it"),
        sa.PrimaryKeyConstraint("key"),
        comment="What a person should hear of: engine.alerts.Told; no projection, nothing rebuilds it",
    )
