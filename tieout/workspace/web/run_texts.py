"""The result and the progress of a sync run in words."""

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Final

from engine.sync.attempts import SECOND
from store.operational.sync_runs import WAITING, RunProgress, RunState
from tieout.texts import Texts
from tieout.workspace.web.tones import Tone

RESULTS: Final[Sequence[tuple[str, str, Sequence[RunState]]]] = (
    ("%(number)s succeeded", "%(number)s succeeded", ("succeeded",)),
    ("%(number)s no longer needed", "%(number)s no longer needed", ("not-needed",)),
    ("%(number)s needs attention", "%(number)s need attention", ("needs-attention",)),
    ("%(number)s blocked", "%(number)s blocked", ("blocked",)),
    ("%(number)s superseded", "%(number)s superseded", ("superseded",)),
    ("%(number)s in progress", "%(number)s in progress", ("running",)),
    ("%(number)s waiting", "%(number)s waiting", WAITING),
)
"""The parts of the result of a run, for one document and for several, with the states that they count."""

STATE_NAMES: Final[Mapping[RunState, str]] = {
    "needs-attention": "Needs attention",
    "blocked": "Blocked (dependency)",
    "running": "In progress",
    "retrying": "Retrying",
    "queued": "Queued",
    "interrupted": "Interrupted (will retry)",
    "superseded": "Superseded by a later run",
    "succeeded": "Succeeded",
    "not-needed": "No longer needed",
}

STATE_TONES: Final[Mapping[RunState, Tone]] = {
    "needs-attention": "bad",
    "blocked": "warn",
    "running": "info",
    "retrying": "warn",
    "succeeded": "good",
    "not-needed": "good",
}
"""The tone of each state that has one."""


def result(progress: RunProgress, texts: Texts) -> str:
    """Return the result of a run so far: `34 succeeded, 2 need attention`."""

    def part(singular: str, plural: str, states: Sequence[RunState]) -> str:
        number = progress.count(*states)
        return texts.ngettext(singular, plural, number, number=format(number, ",")) if number else ""

    parts = list(filter(None, starmap(part, RESULTS)))
    if parts:
        return ", ".join(parts)
    return texts.gettext("requested") if progress.documents else texts.gettext("nothing to sync")


def remaining_time(progress: RunProgress, now: int, texts: Texts) -> str | None:
    """Return the estimated remaining time as text; None while it cannot be estimated."""
    remaining = progress.remaining(now)
    if remaining is None:
        return None
    seconds = -(-remaining // SECOND)
    if seconds < 90:
        return texts.gettext("%(seconds)s s", seconds=seconds)
    return texts.gettext("%(minutes)s min", minutes=-(-seconds // 60))
