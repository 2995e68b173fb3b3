"""The pages of the workspace, one module a page.

* `summary`: amounts and tiles of a company.
* `grid`, `document`: the grids of documents, and a document with its chain.
* `balance`, `account_part`: the reconciliation of the integration accounts, and what each of its numbers consists of.
* `unmatched`: actuals that did not reach Finance.
* `invoice_proposals`, `general_journals`: invoice proposals and general journals that wait.
* `sync`: previews, progress and history of sync runs.
* `troubleshoot`, `delete_errors`: the error log.
* `operation`: lag, rejected events, feeds.
* `sign_in`: sign-in, the return from the identity provider, and sign-out.

Each module has `ROUTES`; one that the navigation of a company shows has `SECTIONS`. A page is such a module and its
template: both are found by being there.
"""

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from starlette.routing import Route

from tieout.workspace.web.context import Frame


class Section(NamedTuple):
    """An entry of the navigation of a company, in the order of `order`; `path` follows the company in its address,
    and `title` returns its title for a reader.
    """

    order: int
    path: str
    title: Callable[[Frame], str]


@cache
def _modules() -> list[ModuleType]:
    return [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]


def routes() -> list[Route]:
    """Return the routes of all pages. One with a literal segment precedes one with a parameter in its place."""
    every: list[Route] = [route for module in _modules() for route in module.ROUTES]
    return sorted(every, key=lambda route: [segment.startswith("{") for segment in route.path.split("/")])


def sections() -> list[Section]:
    """Return the entries of the navigation of a company, in their order."""
    every: list[Section] = [section for module in _modules() for section in getattr(module, "SECTIONS", ())]
    return sorted(every, key=lambda section: section.order)


def is_section(path: str) -> bool:
    """Return True if each company has a page of this path."""
    return any(route.path == f"/{{company}}/{path}" for route in routes())
