"""The workspace shows an error of dual-write on its document, and what prevalidation would have prevented."""

import asyncio
import re
from html import unescape
from pathlib import Path

import httpx
import pytest

from store.queries.reader import Reader
from tests.support.ingest_lines import json_lines
from tests.support.reports import failed
from tests.support.workspace import project, settings_in
from tieout.bootstrap import open_store
from tieout.simulator import ingest_lines, simulate
from tieout.sync.command_topic import TopicWriter
from tieout.worker.maps_in_force import MapsInForce
from tieout.workspace.app import make_app
from tieout.workspace.web.context import Workspace

DOCUMENT = "/USPM/document/USPM-PT000488"
DRAFT = "5637145676"
"""The integration journal line of an expense of 550.00, a draft."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The texts of pages of the small company with three errors, by path."""
    settings = settings_in(Path(tmp_path_factory.mktemp("errors")))
    unit = "Unable to write data to entity msdyn_expenses. Unable to lookup uoms with values {<b>}."
    reported = json_lines(
        failed(1, "USPM-000488", text=unit, process="dual-write"),
        failed(2, "USPM-PT000488", text="Concurrency failure", process="dual-write"),
        failed(1, DRAFT, text="Unable to write data to entity msdyn_actuals"),
    )
    project(settings, [*ingest_lines(simulate("small", 1).events), *reported.splitlines()])
    paths = [DOCUMENT, "/USPM/document/USPM-PT000489", "/USPM/errors", "/USPM/errors?f.process=Dual-write"]

    async def read(app: httpx.ASGITransport) -> dict[str, str]:
        async with httpx.AsyncClient(transport=app, base_url="http://127.0.0.1", follow_redirects=True) as client:
            return {path: (await client.get(path)).text for path in paths}

    with open_store(settings, write=False) as engine:
        in_force = MapsInForce(settings, "workspace")
        workspace = Workspace(
            Reader(engine, in_force.best, today=settings.today), in_force, settings, TopicWriter(settings)
        )
        try:
            return asyncio.run(read(httpx.ASGITransport(make_app(workspace))))
        finally:
            workspace.close()


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.mark.requirement("R36", "R50", "R51")
def test_a_document_shows_the_errors_that_name_it_with_what_to_do(pages: dict[str, str]) -> None:
    text = words(pages[DOCUMENT])
    assert "DW_UNIT_MISSING Dual-write," in text
    assert "Run the initial synchronisation of the map of units (uoms)." in text
    assert "{<b>}" in text
    assert "<b>}" not in pages[DOCUMENT], "the text of an error is no markup"
    assert "Version skipped Asynchronous dual-write reported the row USPM-PT000488." in text
    assert "/USPM/errors/history?process=dual-write&amp;about=USPM-000488" in pages[DOCUMENT]
    assert "DW_" not in words(pages["/USPM/document/USPM-PT000489"])


@pytest.mark.requirement("R50", "R52")
def test_the_error_list_has_them_and_can_show_those_of_dual_write_alone(pages: dict[str, str]) -> None:
    everything, of_dual_write = words(pages["/USPM/errors"]), words(pages["/USPM/errors?f.process=Dual-write"])
    for code in ("DW_UNIT_MISSING", "DW_STALE_VERSION"):
        assert code in everything
        assert code in of_dual_write
    assert "ACTUAL_NOT_WRITTEN" in everything
    assert "ACTUAL_NOT_WRITTEN" not in of_dual_write


@pytest.mark.requirement("R51")
def test_the_error_list_says_what_prevalidation_would_have_prevented(pages: dict[str, str]) -> None:
    text = words(pages["/USPM/errors"])
    assert re.search(r"It would have prevented 1 line, 550\.00 USD *\.", text), text
    assert "Turn on Project actuals prevalidation in Finance" in text
