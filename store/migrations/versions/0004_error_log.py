"""The lifecycle of errors: the subject of each message, and deletions."""

from hashlib import blake2b

import msgspec
import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the subject to what was said, and a table for deletions."""
    comment = "The subject: engine.errorlog.Subject.key"
    # SQLite requires a default for a new column; every row receives its own value below.
    with op.batch_alter_table("process_messages") as table:
        table.add_column(sa.Column("about", _KEY, nullable=False, server_default="", comment=comment))
    if not context.is_offline_mode():
        _name_subjects()
    with op.batch_alter_table("process_messages") as table:
        table.alter_column("about", server_default=None)
    op.create_index("ix_process_messages_about", "process_messages", ["about", "at"], unique=False)
    op.create_index("ix_process_messages_run", "process_messages", ["run"], unique=False)
    op.create_table(
        "deletions",
        sa.Column("id", _KEY, nullable=False, comment="Of the command"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("about", _KEY, nullable=False, comment=comment),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="The last error that is deleted"),
        sa.PrimaryKeyConstraint("id"),
        comment="Errors that a person took off the current list: engine.errorlog.Deletion",
    )
    op.create_index("ix_deletions_about", "deletions", ["about"], unique=False)


def _name_subjects() -> None:
    said = sa.table("process_messages", *map(sa.column, ("source", "event", "company", "process", "body", "about")))
    connection = op.get_bind()
    for row in connection.execute(sa.select(said)).all():
        # A copy of the engine's rule, because the engine may change and a migration must not.
        body = msgspec.msgpack.decode(row.body)
        subject = [row.company, row.process, body["subject"] or body["text"] or ""]
        about = blake2b(msgspec.json.encode(subject), digest_size=16).hexdigest()
        own = (said.c.source == row.source) & (said.c.event == row.event)
        connection.execute(sa.update(said).where(own).values(about=about))
