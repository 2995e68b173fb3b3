"""The registry of document fields, and what follows from it."""

import pytest

from engine.reconciliation.documents import Document
from engine.reconciliation.fields import FIELD, FIELDS, title_of
from engine.reconciliation.kinds import KINDS, DocumentKind
from store.schema import tables
from tieout.cli.text_tables import columns_of
from tieout.workspace.web.grid_columns import GRIDS


def test_every_attribute_of_a_document_is_read_by_one_field() -> None:
    read = [field.source for field in FIELDS if field.read is not None]
    assert sorted(read) == sorted(Document.__struct_fields__)


def test_names_and_columns_are_unique() -> None:
    assert len(FIELD) == len(FIELDS)
    stored = [field.column for field in FIELDS if field.stored]
    assert {*stored, "chain", "views"} == set(tables.documents.columns.keys())
    assert len(stored) == len(set(stored))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_column_of_a_grid_has_a_head_and_a_filter(kind: DocumentKind) -> None:
    assert all(title_of(FIELD[name], kind) and FIELD[name].filtered for name in kind.columns)
    assert set(kind.titles) <= set(kind.columns)
    assert [column.name for column in GRIDS[kind.code]] == list(kind.columns)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_terminal_has_the_columns_that_have_a_rank(kind: DocumentKind) -> None:
    ranked = {title_of(FIELD[name], kind) for name in kind.columns if FIELD[name].rank is not None}
    assert {column.title for column in columns_of(kind)} == ranked
    assert columns_of(kind)[0].rank == 0
