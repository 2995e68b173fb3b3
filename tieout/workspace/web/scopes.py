"""What a sync was requested for, in words. A run records its scope in English; a page shows it to its reader."""

import re
from typing import Final

from engine.reconciliation.kinds import KINDS
from tieout.sync.previews import SCOPES
from tieout.texts import COLUMN, Texts
from tieout.workspace.web.grid_columns import GRIDS
from tieout.workspace.web.grid_state import VIEWS, GridState
from tieout.workspace.web.rendering import label

RECORDED: Final = "recorded"
"""The code of the texts that a run records."""


def _group(placeholder: re.Match[str]) -> str:
    name = placeholder[1]
    return rf"(?P<{name}>\S+)" if name == "number" else rf"(?P<{name}>.+)"


_PATTERNS: Final = [
    # A number has no blank, so that "Retry of 3 errors" is not taken for "3 errors".
    (template, re.compile(re.sub(r"\\\{(\w+)\\\}", _group, re.escape(template)), re.DOTALL))
    for template in SCOPES.values()
]


def of_grid(state: GridState, texts: Texts) -> str:
    """Describe a state of a grid: its view, filters and search."""
    kind, view = state.kind, state.view
    titles = {column.name: texts.of_code(COLUMN, column.title) for column in GRIDS[kind]}
    parts = [texts.of_code(kind, KINDS[kind].label), texts.of_code(view, VIEWS[kind][view])]
    for name, text in state.filters.items():
        shown = label(text, texts) if name in ("standing", "position") else text
        parts.append(f"{titles.get(name, name)}: {shown}")
    if state.search:
        parts.append(texts.gettext("Filter: %(text)s", text=state.search))
    return " · ".join(parts)


def recorded(text: str, texts: Texts) -> str:
    """Return a recorded scope, or a recorded name of who requested it, for a reader; unknown ones as they are."""
    for template, pattern in _PATTERNS:
        if match := pattern.fullmatch(text):
            return texts.of_code(RECORDED, template).format(**match.groupdict())
    return text
