"""Sync runs: who requested which sync when, and its documents."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "sync_runs",
        sa.Column("id", key, nullable=False, comment="Of the request"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it was requested"),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("by_person", sa.Integer(), nullable=False),
        sa.Column("company", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="What was chosen, in words"),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="Who requested which sync when: engine.attempts.Run; no projection, nothing rebuilds it",
    )
    op.create_index("ix_sync_runs_company", "sync_runs", ["company", "at"], unique=False)
    op.create_table(
        "sync_run_documents",
        sa.Column("run", key, nullable=False),
        sa.Column("document", key, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("joined", sa.Integer(), nullable=False, comment="1 when no new round began for it"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=True,
            comment="What it came to, kept when a later request begins again; NULL: as syncs says",
        ),
        sa.Column("made", sa.Integer(), nullable=True, comment="As the next three: of the attempts until then"),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run", "document", "action"),
        comment="The documents of each sync run; until they are kept here, their progress is in syncs",
    )
    op.create_index("ix_sync_run_documents_document", "sync_run_documents", ["document", "action"], unique=False)
