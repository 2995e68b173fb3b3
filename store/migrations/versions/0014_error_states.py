"""The state of each subject on the errors topic, so that only changes are published."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty: the next worker publishes the state of every subject once."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "error_states",
        sa.Column("about", key, nullable=False, comment="The subject: engine.errorlog.Subject.key"),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column(
            "open", sa.Integer(), nullable=False, comment="0: settled; 1: an event may change it; 2: time may, too"
        ),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="Of its records on the topic"),
        sa.Column("told", sa.LargeBinary(), nullable=False, comment="A digest of the last value published"),
        sa.PrimaryKeyConstraint("about"),
        comment="What the errors topic says of each subject: store.errorstates; no projection",
    )
    op.create_index("ix_error_states_open", "error_states", ["open", "process"], unique=False)
