"""The first shape of the store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _create_chains()
    _create_documents()
    _index_documents()
    _create_findings_and_leases()
    _create_links_offsets_and_outbox()
    _create_process_messages()
    _create_records_settings_and_sources()
    _create_totals_and_unsynced()


def _create_chains() -> None:
    op.create_table(
        "chains",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="What was decided about the records of one document line: engine.documents.Chain",
    )


def _create_documents() -> None:
    op.create_table(
        "documents",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("chain", _KEY, nullable=False),
        sa.Column("document", _KEY, nullable=False),
        sa.Column("company", _KEY, nullable=False, comment="'' when not known"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("date", sa.Text(), nullable=False, comment="'' when not known"),
        sa.Column("views", sa.Integer(), nullable=False, comment="Bits of store.views"),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("excluded", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("missing_actual", sa.BigInteger(), nullable=False),
        sa.Column("missing_journal_line", sa.BigInteger(), nullable=False),
        sa.Column("reconciled", sa.BigInteger(), nullable=False),
        sa.Column("difference", sa.BigInteger(), nullable=False),
        sa.Column("accounting_currency", sa.Text(), nullable=True),
        sa.Column("accounting_amount", sa.BigInteger(), nullable=True),
        sa.Column("accounting_missing_actual", sa.BigInteger(), nullable=False),
        sa.Column("accounting_missing_journal_line", sa.BigInteger(), nullable=False),
        sa.Column("accounting_reconciled", sa.BigInteger(), nullable=False),
        sa.Column("accounting_difference", sa.BigInteger(), nullable=False),
        sa.Column("voucher", sa.Text(), nullable=True),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("vendor", sa.Text(), nullable=True),
        sa.Column("invoice", sa.Text(), nullable=True),
        sa.Column("journal", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
        comment="One row for each document line: what the grids filter, sort and add up",
    )


def _index_documents() -> None:
    op.create_index("ix_documents_all", "documents", ["company", "kind", "date", "key"], unique=False)
    op.create_index("ix_documents_amount", "documents", ["company", "kind", "amount", "key"], unique=False)
    op.create_index("ix_documents_since", "documents", ["company", "kind", "since", "key"], unique=False)
    op.create_index(
        "ix_documents_missing_actuals",
        "documents",
        ["company", "kind", "date", "key"],
        unique=False,
        sqlite_where=sa.text("views & 1 <> 0"),
        postgresql_where=sa.text("views & 1 <> 0"),
    )
    op.create_index(
        "ix_documents_missing_journal_lines",
        "documents",
        ["company", "kind", "date", "key"],
        unique=False,
        sqlite_where=sa.text("views & 2 <> 0"),
        postgresql_where=sa.text("views & 2 <> 0"),
    )
    op.create_index("ix_documents_name", "documents", ["document"], unique=False)
    op.create_index(
        "ix_documents_open",
        "documents",
        ["company", "since"],
        unique=False,
        sqlite_where=sa.text("views & 3 <> 0"),
        postgresql_where=sa.text("views & 3 <> 0"),
    )


def _create_findings_and_leases() -> None:
    op.create_table(
        "findings",
        sa.Column("owner", _KEY, nullable=False, comment="A chain, or the record key of a row that others point to"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("document", _KEY, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "number"),
        comment="What is wrong: engine.documents.Finding",
    )
    op.create_index("ix_findings_code", "findings", ["code"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="One more with each new holder"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="By the database's clock"),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="When this holder took it, by the same clock"),
        sa.PrimaryKeyConstraint("name"),
        comment="Which worker writes: store.lease",
    )


def _create_links_offsets_and_outbox() -> None:
    op.create_table(
        "links",
        sa.Column("token", _KEY, nullable=False),
        sa.Column("record", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("token", "record"),
        comment="Identity values, references (a record key, or =link:VALUES) and offers (+link:VALUES) by record",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "offsets",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
        comment="The next record to read; moved in the transaction of its effect, as compare-and-set",
    )
    op.create_table(
        "outbox",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False, comment="Without the environment's prefix"),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True, comment="NULL is a tombstone"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="Since when it waits, by the clock of the worker"),
        sa.PrimaryKeyConstraint("id"),
        comment="What is to be published; written with its cause, sent after, at least once",
    )


def _create_process_messages() -> None:
    op.create_table(
        "process_messages",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column(
            "code", sa.Text(), nullable=True, comment="A code of engine.messages; unknown when the text is none of them"
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event"),
        comment="What Finance's processes said: the error log",
    )
    op.create_index("ix_process_messages_at", "process_messages", ["at"], unique=False)


def _create_records_settings_and_sources() -> None:
    op.create_table(
        "recomputations",
        sa.Column("token", _KEY, nullable=False),
        sa.Column("cursor", _KEY, nullable=False, comment="The last record done"),
        sa.PrimaryKeyConstraint("token"),
        comment="Rows whose many dependents are still to be decided again",
    )
    op.create_table(
        "records",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        comment="A row of either system as last seen: engine.records.Record",
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="What this store was built under: the digest of the maps, the identities of the topics",
    )
    op.create_table(
        "sources",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
        comment="Up to when a source says that it has sent everything (R21)",
    )


def _create_totals_and_unsynced() -> None:
    op.create_table(
        "totals",
        sa.Column("company", _KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("date", sa.Text(), nullable=False),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("accounting_currency", sa.Text(), nullable=False),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("company", "kind", "date", "views", "currency", "accounting_currency"),
        comment="Sums over documents by day, kept with every change for a summary of millions is a few hundred rows",
    )
    op.create_table(
        "unsynced",
        sa.Column("chain", _KEY, nullable=False),
        sa.Column("company", _KEY, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False, comment="'' when not known"),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "company", "currency"),
        comment="Actuals that have no staging row, by chain",
    )
    op.create_index("ix_unsynced_company", "unsynced", ["company"], unique=False)
