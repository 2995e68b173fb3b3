"""Every page in a made-up language: a text that no catalogue has would stay in Latin letters.

The language is one file, made of the committed templates: each letter of a text becomes its full-width form. What is
left in Latin letters is data, or was not translated.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from babel.dates import get_month_names
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from starlette.applications import Starlette

from engine.reconciliation.finding_texts import FINDINGS
from engine.sync.attempts import SECOND, Request, SyncRun
from engine.sync.general_journals import task_of
from store.operational.attempts import SqlAttempts
from store.queries.reader import Reader
from store.schema.database import connect
from streams.topics import TOPICS
from tests.support.workspace import demonstrate, settings_in
from tieout.bootstrap import open_log, open_store
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter
from tieout.texts import Catalogues
from tieout.worker.loops import GENERAL_JOURNALS, RECURRING_SYNC, record_run
from tieout.worker.maps_in_force import MapsInForce
from tieout.workspace.app import make_app
from tieout.workspace.web.context import Workspace
from tools.screenshots import PAGES
from tools.texts import FOLDER

LANGUAGE: Final = "sv"
RUN: Final = "11111111-1111-4111-8111-111111111111"
MORE: Final = {
    "run": f"/USPM/sync/{RUN}",
    "run-changed": f"/USPM/sync/{RUN}?changed=2",
    "grouped-by-status": "/USPM/expense?view=all&group=standing",
    "grouped-by-project": "/USPM/vendor-invoice-lines?view=all&group=project",
    "filtered": "/USPM/expense?view=all&f.actual=yes&f.standing=draft&q=USPM",
    "no-target": "/USPM/expense?at=1x",
    "refreshed": "/USPM?was=1736359200000000~2~1.1~2.2~3.3~4.4~5.5~6.6",
    "sync-preview-grid": "/USPM/sync/preview?kind=expense&view=all&f.standing=draft",
    "sync-preview-journals": "/USPM/sync/preview?journal=all",
    "sync-preview-job": "/USPM/sync/preview?job=1",
    "sync-of-another": "/GBPM/sync",
    "errors-none": "/GBPM/errors",
    "errors-filtered": "/USPM/errors?f.message=000",
    "history-of-a-journal": "/USPM/errors/history?process=general-journal-sync&about=USPM-000101",
    "no-page": "/USPM/0/0/0",
    "no-date": "/USPM/expense?from=0",
}
CHECKS: Final = ("checks",)
"""Pages with results of `tieout check`, which are those of the command line."""

_KEPT: Final = re.compile(r"(%\(\w+\)[sr]|%%|\{\w+\}|<[^<>]*>|&\w+;)")
_WIDE: Final = {ord(letter): ord(letter) + 0xFEE0 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}
_EMPTY: Final = ("br", "col", "input", "link", "meta", "path")
_NAMES: Final = {"Finance", "Dataverse", "tieout", "UTC"}


def wide(text: str) -> str:
    """A text in full-width letters, with its placeholders and tags as they are."""
    parts = _KEPT.split(text)
    return "".join(part if number % 2 else part.translate(_WIDE) for number, part in enumerate(parts))


def write_language(folder: Path) -> None:
    """Add a language: one file."""
    language = Catalog(locale=LANGUAGE)
    for template in sorted(FOLDER.glob("*.pot")):
        with template.open("rb") as file:
            for message in read_po(file):
                if message.id:
                    plural = isinstance(message.id, tuple)
                    translation = tuple(map(wide, message.id)) if plural else wide(str(message.id))
                    language.add(message.id, translation, context=message.context)
    with (folder / f"{LANGUAGE}.po").open("wb") as file:
        write_po(file, language)


class Visible(HTMLParser):
    """The texts of a page that people see or hear, without raw events, names of commands, and columns of records."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if tag not in _EMPTY:
            raw = tag in ("pre", "code") or "cells" in (named.get("class") or "").split()
            self._open.append((tag, raw or self._raw))
        self.texts += [text for name in ("title", "aria-label", "placeholder", "label") if (text := named.get(name))]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._raw and data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def _raw(self) -> bool:
        return bool(self._open) and self._open[-1][1]


def visible(page: str) -> list[str]:
    parser = Visible()
    parser.feed(page)
    return parser.texts


def untranslated(text: str, data: set[str]) -> list[str]:
    """The words of a text in Latin letters that are neither data nor an identifier with a digit."""
    for phrase in sorted((phrase for phrase in data if " " in phrase and phrase in text), key=len, reverse=True):
        text = text.replace(phrase, " ")
    words = re.split(r"[\s·]+", text)
    stripped = [word.strip("\"'“”()[]:;,.…+×") for word in words if not re.search(r"\d", word)]
    return [word for word in stripped if re.search("[A-Za-z]", word) and word not in data]


def values(body: Any) -> Iterator[str]:
    """The texts in the JSON of an event, as a page shows them, and each line of them."""
    if isinstance(body, dict):
        for value in body.values():
            yield from values(value)
    elif isinstance(body, list):
        for value in body:
            yield from values(value)
    elif isinstance(body, str):
        yield " ".join(body.split())
        yield from (" ".join(line.split()) for line in body.splitlines())


def data_of(settings: Settings) -> set[str]:
    """All values that the events on the topics have, and names that are not translated."""
    found = {*_NAMES, *FINDINGS, "America/Chicago", "Europe/London", "USPM", "GBPM", "yes"}
    found |= {"content-type", "application/cloudevents+json"}
    found |= {name.lower() for name in get_month_names("wide", locale=LANGUAGE).values()}
    found |= set(settings.shown().values())
    with open_log(settings, write=False) as log:
        for name in (topic.full_name(settings.prefix) for topic in TOPICS.values()):
            found.add(name)
            for partition in range(log.partitions(name)):
                for record in log.read(name, partition, log.start_offset(name, partition), 100_000, 2**30):
                    try:
                        found.update(values(json.loads(record.value or b"{}")))
                    except ValueError:
                        continue
    return found


def request_run(settings: Settings) -> None:
    """Add a run of the recurring job, with one attempt that failed and one that was throttled."""
    at = int(datetime(2025, 1, 8, 12, tzinfo=UTC).timestamp()) * SECOND
    engine = connect(settings.store, write=True)
    log = SqlAttempts(engine)
    tasks = tuple(task_of("USPM", number, "2025-01-06T17:45:00Z") for number in ("USPM-000095", "USPM-000096"))
    run = SyncRun(id=RUN, company="USPM", scope="Recurring job", calls=2, documents=2)
    who, by_person = "recurring job", False
    log.request(Request(id=RUN, at=at, who=who, by_person=by_person, tasks=tasks, input_fingerprints={}, run=run))
    claim = log.claim("a worker", now=at, until=at + SECOND, chance=0.0, only=("journal", "USPM/USPM-000095"))
    assert claim is not None
    log.begin(claim, now=at, until=at + SECOND)
    log.end(claim, "transient", "503", now=at, chance=0.0, changes={}, wait=SECOND)
    claim = log.claim("a worker", now=at, until=at + SECOND, chance=0.0, only=("journal", "USPM/USPM-000096"))
    assert claim is not None
    log.begin(claim, now=at, until=at + SECOND)
    log.refund(claim, "429", now=at, wait=SECOND)
    record_run(engine, RECURRING_SYNC, "")
    record_run(engine, GENERAL_JOURNALS, "503")
    engine.dispose()


async def read(app: Starlette, paths: dict[str, str]) -> dict[str, str]:
    """The pages at these paths, in the made-up language."""
    transport = httpx.ASGITransport(app)
    headers = {"Accept-Language": LANGUAGE}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers, follow_redirects=True
    ) as client:
        return {name: (await client.get(path)).text for name, path in paths.items()}


def pages_of(settings: Settings, catalogues: Catalogues, paths: dict[str, str]) -> dict[str, str]:
    with open_store(settings, write=False) as engine:
        in_force = MapsInForce(settings, "workspace")
        reader = Reader(engine, in_force.best, today=settings.today)
        workspace = Workspace(reader, in_force, settings, TopicWriter(settings), catalogues)
        try:
            return asyncio.run(read(make_app(workspace), paths))
        finally:
            workspace.close()


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], set[str]]:
    """Every page, and the data on them."""
    folder = tmp_path_factory.mktemp("demonstration")
    write_language(folder)
    settings = settings_in(folder)
    demonstrate(settings)
    request_run(settings)
    return pages_of(settings, Catalogues(folder), {**PAGES, **MORE}), data_of(settings)


@pytest.mark.parametrize("name", [name for name in (*PAGES, *MORE) if name not in CHECKS])
def test_a_page_has_no_text_outside_of_the_catalogues(translated: tuple[dict[str, str], set[str]], name: str) -> None:
    pages, data = translated
    assert f'<html lang="{LANGUAGE}">' in pages[name]
    # What a person typed is shown again.
    typed = set(re.findall(r"\w+", {**PAGES, **MORE}[name].partition("?")[2])) | {"NONE"}
    left = {text: words for text in visible(pages[name]) if (words := untranslated(text, data | typed))}
    assert left == {}


def test_a_store_without_companies_has_no_text_outside_of_the_catalogues(tmp_path: Path) -> None:
    write_language(tmp_path)
    settings = settings_in(tmp_path)
    with open_store(settings, write=True):
        pages = pages_of(settings, Catalogues(tmp_path), {"empty": "/"})
    left = {text: words for text in visible(pages["empty"]) if (words := untranslated(text, _NAMES))}
    assert (left, "ｔ" in pages["empty"]) == ({}, True)


@pytest.mark.parametrize(
    ("page", "left"),
    [
        ("<p>Ａｍｏｕｎｔ of USD</p>", [["of"]]),
        ('<p title="Amount">1.00 USD, USPM-000463</p>', [["Amount"]]),
        ("<td><b>Ｎｏｔ</b> posted</td>", [["posted"]]),
        ("<pre>raw</pre><table class='list cells'><td>ProjId</td></table><p>Ｓｕｍ USD</p>", []),
        ("<p>Voucher does not balance</p>", []),
    ],
)
def test_a_text_outside_of_the_catalogues_is_noticed(page: str, left: list[list[str]]) -> None:
    data = {"USD", "Voucher does not balance"}
    assert [words for text in visible(page) if (words := untranslated(text, data))] == left
