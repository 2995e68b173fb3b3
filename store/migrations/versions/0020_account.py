"""The integration account: what each document booked and its postings cleared, the postings, and their totals.

The columns of a store that is older stay empty until `tieout replay` rebuilds it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and tables."""
    is_postgresql = op.get_context().dialect.name == "postgresql"
    key = sa.Text(collation="C") if is_postgresql else sa.Text()
    op.add_column("documents", sa.Column("booked", sa.BigInteger()))
    op.add_column("documents", sa.Column("cleared", sa.BigInteger()))
    op.add_column("documents", sa.Column("exchange_difference", sa.BigInteger(), nullable=False, server_default="0"))
    op.drop_index("ix_documents_category", "documents")
    op.create_index("ix_documents_category", "documents", [*_CATEGORY_KEY, *_AMOUNTS])
    op.execute("UPDATE totals SET sums = sums || ' 0 0 0 0 0'")
    _create_postings(key)
    _create_posting_totals(key)


def _create_postings(key: sa.Text) -> None:
    op.create_table(
        "postings",
        sa.Column(
            "key", key, primary_key=True, comment="Record key of the journal line, else of the actual or staging row"
        ),
        sa.Column("chain", key, nullable=False),
        sa.Column("company", key, nullable=False, comment="The company that posted it; '' if unknown"),
        sa.Column("kind", sa.Text(), nullable=False, comment="The kind whose account it is in; '' if unknown"),
        sa.Column("document", key, nullable=False, comment="Key of the document that counts it; '' if none"),
        sa.Column(
            "part",
            sa.Text(),
            nullable=False,
            comment="Part of the account that it is in; '' if a document counts it",
        ),
        sa.Column("currency", sa.Text(), nullable=False, comment="Accounting currency of the company; '' if unknown"),
        sa.Column("amount", sa.BigInteger(), comment="What it cleared; NULL if unknown"),
        sa.Column("date", sa.Text(), nullable=False, comment="Accounting date; '' if unknown"),
        sa.Column("voucher", sa.Text()),
        sa.Column("project", sa.Text()),
        sa.Column("name", key, comment="Name of the document that it belongs to, whether that counts it or not"),
        comment="Postings of the integration journal: what each took out of an integration account",
    )
    loose = sa.text("part <> ''")
    op.create_index(
        "ix_postings_loose",
        "postings",
        ["company", "part", "key"],
        sqlite_where=loose,
        postgresql_where=loose,
    )
    op.create_index("ix_postings_voucher", "postings", ["company", "voucher"])


def _create_posting_totals(key: sa.Text) -> None:
    op.create_table(
        "posting_totals",
        *(
            sa.Column(name, key if name == "company" else sa.Text(), primary_key=True, comment=_TOTAL_KEY[name])
            for name in _TOTAL_KEY
        ),
        sa.Column("postings", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False, comment="How many of them have no amount"),
        sa.Column("amount", sa.Text(), nullable=False, comment="What they cleared"),
        sqlite_with_rowid=False,
        comment="Materialised totals of postings by day, updated in the transaction of each change",
    )


_TOTAL_KEY = {
    "company": None,
    "kind": None,
    "part": "'' for postings that a document counts",
    "currency": None,
    "day": "'' if unknown",
}
_CATEGORY_KEY = ("company", "kind", "category", "currency", "accounting_currency", "date", "views")
_PARTS = ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference")
_AMOUNTS = (*_PARTS, *(f"accounting_{part}" for part in _PARTS), "booked", "cleared", "exchange_difference")
