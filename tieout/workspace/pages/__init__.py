"""The pages of the workspace, one module a page.

* `summary`: amounts and tiles of a company.
* `grid`, `document`: the grids of documents, and a document with its chain.
* `balance`, `account_part`: the reconciliation of the integration accounts, and what each of its numbers consists of.
* `kept_balances`: ledger balances that people enter.
* `findings`: findings that belong to no document.
* `unmatched`: actuals that did not reach Finance.
* `invoice_proposals`, `general_journals`: invoice proposals and general journals that wait.
* `sync`: previews, progress and history of sync runs.
* `troubleshoot`, `delete_errors`: the error log.
* `operation`: lag, rejected events, feeds.
* `sign_in`: sign-in, the return from the identity provider, and sign-out.

Each module has `ROUTES`; one that the navigation shows has `SECTIONS`. A page is such a module and its template: both
are found by being there.
"""

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import groupby
from types import ModuleType
from typing import Literal, NamedTuple
from urllib.parse import quote

from starlette.routing import Route

from engine.reconciliation.kinds import KINDS, Kind
from tieout.workspace.web.context import Frame
from tieout.workspace.web.counts import ERRORS_COUNTED, Counts

Group = Literal["dual-write", "troubleshoot", "operation"]


class Section(NamedTuple):
    """An entry of the navigation. Entries are shown by `group`, in the order of `order`."""

    order: int
    group: Group
    path: str
    """Follows the company in its address; that of a page of all companies is its whole path."""
    title: Callable[[Frame], str]
    icon: str
    """The symbol in `static/icons.svg`."""
    dated: bool = False
    """Whether it is about the dates of the page that leads to it."""
    of_company: bool = True

    @property
    def name(self) -> str:
        """The name that the pages of the entry have as their `section`."""
        return self.path or "summary"

    def address(self, frame: Frame) -> str:
        """Return its address for the company and the dates of a page; without a company, for the first one."""
        if not self.of_company:
            return f"/{self.path}" + (f"?company={quote(frame.code)}" if frame.code else "")
        company = quote(frame.code or frame.companies[0])
        return "/" + "/".join(filter(None, (company, self.path))) + (frame.dated() if self.dated else "")


class Entry(NamedTuple):
    """An entry of the navigation for a reader. `number` is what is open, '' for nothing; `warns`: a person must act."""

    section: Section
    title: str
    address: str
    number: str
    warns: bool


@cache
def _modules() -> list[ModuleType]:
    return [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]


def routes() -> list[Route]:
    """Return the routes of all pages. One with a literal segment precedes one with a parameter in its place."""
    every: list[Route] = [route for module in _modules() for route in module.ROUTES]
    return sorted(every, key=lambda route: [segment.startswith("{") for segment in route.path.split("/")])


def is_section(path: str) -> bool:
    """Return True if each company has a page of this path."""
    return any(route.path == f"/{{company}}/{path}" for route in routes())


@cache
def _sections() -> list[Section]:
    every: list[Section] = [section for module in _modules() for section in getattr(module, "SECTIONS", ())]
    return sorted(every, key=lambda section: section.order)


def navigation(frame: Frame) -> list[tuple[str, list[Entry]]]:
    """Return the titles of the groups of the navigation, each with its entries."""
    titles: dict[Group, str] = {
        "dual-write": frame.texts.gettext("Dual-write"),
        "troubleshoot": frame.texts.gettext("Troubleshoot"),
        "operation": frame.texts.gettext("Operation"),
    }
    shown = [section for section in _sections() if frame.companies or not section.of_company]
    return [
        (titles[group], [_entry(section, frame) for section in sections])
        for group, sections in groupby(shown, key=lambda section: section.group)
    ]


def _entry(section: Section, frame: Frame) -> Entry:
    number, warns = _count(section.name, frame.counts)
    more = "+" if section.name == "errors" and number == ERRORS_COUNTED else ""
    shown = frame.locale.number(number) + more if number else ""
    return Entry(section, section.title(frame), section.address(frame), shown, warns)


def _count(name: str, counts: Counts) -> tuple[int, bool]:
    """Return what is open in a section, and whether it is a person's turn."""
    kinds: dict[str, Kind] = {kind.path: code for code, kind in KINDS.items()}
    if name in kinds:
        return counts.documents.get(kinds[name], 0), False
    return {"errors": counts.errors, "general-journals": counts.journals}.get(name, 0), True
