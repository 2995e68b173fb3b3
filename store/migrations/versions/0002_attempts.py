"""What is to be synced, and every attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables of the attempt log."""
    op.create_table(
        "syncs",
        sa.Column("document", _KEY, nullable=False, comment="Its name"),
        sa.Column("action", sa.Text(), nullable=False, comment="engine.syncing.Action"),
        sa.Column("subject", _KEY, nullable=False, comment="Documents of one subject share their calls"),
        sa.Column("company", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False, comment="JSON: what the call is given"),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("made", sa.Integer(), nullable=False, comment="Attempts of this round that count"),
        sa.Column("calls", sa.Integer(), nullable=False, comment="All calls ever begun"),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, running, done, blocked or stopped"),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="When it was asked for"),
        sa.Column("change", sa.Text(), nullable=False, comment="A digest of the surroundings when it was blocked"),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False, comment="Who sees to it, '' for nobody"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="How long the holder may be silent"),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("last_outcome", sa.Text(), nullable=False),
        sa.Column("last_text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("document", "action"),
        comment="What is to be synced, with its counter: engine.attempts.Sync; no projection, nothing rebuilds it",
    )
    op.create_index("ix_syncs_due", "syncs", ["state", "due"], unique=False)
    op.create_index("ix_syncs_subject", "syncs", ["action", "subject"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("document", _KEY, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("call", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True, comment="In its round; NULL when it was given back"),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True, comment="NULL while its outcome is not known"),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("document", "action", "call"),
        comment="Every attempt, recorded before its call leaves; no projection, nothing rebuilds it",
    )
