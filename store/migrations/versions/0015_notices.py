"""Notices: rows to be read again, and the time of their last read."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty: a rebuild adds earlier notices."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "notices",
        sa.Column(
            "key", key, nullable=False, comment="The record key of the row; of one that is not named, the event's"
        ),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("named", sa.Integer(), nullable=False, comment="1 when the notices name a row, else 0"),
        sa.Column(
            "noticed", sa.BigInteger(), nullable=False, comment="The last notice about it; the lowest number for none"
        ),
        sa.Column(
            "answered", sa.BigInteger(), nullable=False, comment="As of when it was read; the lowest number for never"
        ),
        sa.PrimaryKeyConstraint("key"),
        comment="Rows that are to be read again, and as of when they were (R5): engine.notices.Notice",
    )
    op.create_index(
        "ix_notices_waiting",
        "notices",
        ["entity"],
        unique=False,
        sqlite_where=sa.text("noticed > answered"),
        postgresql_where=sa.text("noticed > answered"),
    )
