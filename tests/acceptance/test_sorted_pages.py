"""Every sort that the grids offer, as an address: the page and its file have the rows in that order (R35)."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from engine.reconciliation.documents import Document
from store.queries.grid_query import SORTS, GridQuery, Sort
from store.queries.grids import page_key
from tests.support.workspace import Served, project, served, settings_in, small_company
from tieout.bootstrap import open_reader
from tieout.workspace.web.grid_state import PATHS

pytestmark = pytest.mark.requirement("R35")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = settings_in(tmp_path_factory.mktemp("sorted"))
    project(settings, small_company())
    with served(settings) as workspace:
        yield workspace


def in_order(workspace: Served, kind: Any, sort: Sort, *, descending: bool) -> list[Document]:
    """The documents of a grid, sorted here."""
    with open_reader(workspace.settings) as reader, reader.snapshot() as snapshot:
        window = snapshot.window(snapshot.company("USPM"), None, None)
        query = GridQuery(company="USPM", kind=kind, window=window, view="all")
        every = [row.document for row in snapshot.rows(query)]
    return sorted(every, key=lambda one: (page_key(one, sort)[0] is not None, *page_key(one, sort)), reverse=descending)


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
def test_a_page_and_its_file_are_sorted_as_their_address_says(
    workspace: Served, kind: Any, sort: Sort, descending: bool
) -> None:
    expected = [one.document for one in in_order(workspace, kind, sort, descending=descending)]
    assert len(expected) > 10
    assert expected != [one.document for one in in_order(workspace, kind, sort, descending=not descending)]
    state = {"view": "all", "sort": f"{'-' * descending}{sort}"}
    address = f"{workspace.address}/USPM/{PATHS[kind]}"
    page = httpx.get(address, params=state).text
    shown = re.findall(r'<a class="row"[^>]*>([^<]+)</a>', page)
    assert shown == expected[: len(shown)]
    assert len(shown) >= 10
    file = httpx.get(f"{address}.csv", params=state).content.decode("utf-8-sig")
    assert [row["Document"] for row in csv.DictReader(io.StringIO(file))] == expected
