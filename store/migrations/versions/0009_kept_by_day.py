"""Materialised totals by cause, and of amounts that left the balance by day: next actions and the trend need no read of
the documents. Unreconciled amounts by project are read from an index.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PARTS = ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference")
_AMOUNTS = (*_PARTS, *(f"accounting_{part}" for part in _PARTS))
_TOTAL_KEY = ("company", "kind", "date", "views", "currency", "accounting_currency", "position", "cause")
_BY_PROJECT = ("project", "kind", "views", "date", "accounting_missing_actual", "accounting_missing_journal_line")
_NULLABLE = ("currency", "accounting_currency", "cause")
_DOCUMENTS = sa.table("documents")


def upgrade() -> None:
    """Create both tables and the index, and fill the tables from the documents."""
    op.drop_table("totals")
    totals = op.create_table(
        "totals",
        sa.Column("company", _KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("date", sa.Text(), nullable=False),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("accounting_currency", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False, comment="'' for none"),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(*_TOTAL_KEY),
        comment="Sums over documents by day, kept with every change for a summary of millions is a few hundred rows",
        sqlite_with_rowid=False,
    )
    reconciliations = op.create_table(
        "reconciliations",
        sa.Column("company", _KEY, nullable=False),
        sa.Column("date", sa.Text(), nullable=False, comment="Of the documents; '' when not known"),
        sa.Column("day", sa.Text(), nullable=False, comment="When they were reconciled, not before their date"),
        sa.Column("amount", sa.Text(), nullable=False, comment="Accounting currency; never 0"),
        sa.PrimaryKeyConstraint("company", "date", "day"),
        comment="What left the balance on which day, kept with every change: the trend would read every document",
        sqlite_with_rowid=False,
    )
    op.drop_index("ix_documents_open", "documents")
    op.create_index(
        "ix_documents_open",
        "documents",
        ["company", "since", *_BY_PROJECT],
        unique=False,
        sqlite_where=sa.text("views & 3 <> 0"),
        postgresql_where=sa.text("views & 3 <> 0"),
    )
    if not context.is_offline_mode():
        op.bulk_insert(totals, list(_totals()))
        op.bulk_insert(reconciliations, list(_reconciliations()))


def _totals() -> Iterator[dict[str, str]]:
    key: list[sa.ColumnElement[Any]] = [
        sa.func.coalesce(sa.column(name), "") if name in _NULLABLE else sa.column(name) for name in _TOTAL_KEY
    ]
    counts = [sa.func.count(), sa.func.count().filter(sa.column("difference") != 0)]
    halves = chain.from_iterable(_halves(name) for name in _AMOUNTS)
    for row in op.get_bind().execute(sa.select(*key, *counts, *halves).select_from(_DOCUMENTS).group_by(*key)):
        place, (documents, with_difference, *sums) = row[: len(_TOTAL_KEY)], row[len(_TOTAL_KEY) :]
        numbers = [documents, with_difference, *map(_joined, sums[::2], sums[1::2])]
        yield {**dict(zip(_TOTAL_KEY, place, strict=True)), "sums": " ".join(map(str, numbers))}


def _reconciliations() -> Iterator[dict[str, str]]:
    key: list[sa.ColumnElement[Any]] = [
        sa.column("company"),
        sa.column("date"),
        sa.literal_column("since / 86400000000"),
    ]
    query = sa.select(*key, *_halves("accounting_reconciled")).select_from(_DOCUMENTS).group_by(*key)
    amounts: dict[tuple[str, str, str], int] = {}
    for company, date, number, high, low in op.get_bind().execute(query.where(sa.text("views & 8 <> 0"))):
        left = (_EPOCH + timedelta(days=number)).date().isoformat()
        place = (company, date, max(date, left))
        amounts[place] = amounts.get(place, 0) + _joined(high, low)
    for (company, date, day), amount in amounts.items():
        if amount:
            yield {"company": company, "date": date, "day": day, "amount": str(amount)}


def _halves(column: str) -> list[sa.ColumnElement[int]]:
    """Split an amount into two halves, so that neither sum exceeds 64 bits."""
    return [sa.literal_column(f"coalesce(sum({column} {half}), 0)") for half in (">> 20", "& 1048575")]


def _joined(high: int, low: int) -> int:
    return (int(high) << 20) + int(low)
