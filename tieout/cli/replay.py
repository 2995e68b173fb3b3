"""`tieout replay`: rebuild, show what would change, put in place."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import FromOption, JsonOption, ToOption, examples, in_force
from tieout.cli.output import counted, emit

if TYPE_CHECKING:
    from store.proof.swap import Difference

EXAMPLES = examples(
    "tieout replay --from 2025-01-01 --to 2025-01-31",
    "tieout replay --from 2025-01-01 --to 2025-01-31 --company USPM --dry-run --json",
    "TIEOUT_MAPS=contoso.toml tieout replay --yes",
)


def replay(
    start: FromOption = None,
    end: ToOption = None,
    company: Annotated[
        str | None,
        typer.Option("--company", metavar="CODE", help="Show this company's documents alone.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before the rebuilt store is put in place.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild the store from the topics under today's maps, and put it in the place of the one in use.

    First it shows what changes: the documents of the period with their amounts, and how many outside it; the whole
    store is rebuilt, for a document may rest on events of any day. Readers never wait; the worker goes on, and begins
    again on the rebuilt store. Interrupted or refused, nothing is left behind. After a change of maps (TIEOUT_MAPS),
    workers load the files that the setting names to them, or wait until they hold the maps of the store.
    """
    from tieout.cli.progress import bar
    from tieout.cli.text_tables import console, show_replay
    from tieout.maintenance.replay import rehearsed

    if start is not None and end is not None and start > end:
        raise typer.BadParameter(f"{start} lies after --to {end}.", param_hint="'--from'")

    def within(code: str, date: str) -> bool:
        return (company is None or code == company.upper()) and (not date or (start or "") <= date <= (end or "9999"))

    settings = in_force()
    with ExitStack() as opened:
        with bar("Rebuilding", None) as move:
            pace = Pace()
            rehearsal = rehearsed(settings, within, lambda done, total: move(done, total, pace.note(done, total)))
            prepared = opened.enter_context(rehearsal)
        told = _json(prepared.difference)
        if as_json:
            emit(told)
        else:
            show_replay(console(), told)
        if dry_run:
            return
        if not yes:
            typer.confirm("Put the rebuilt store in place?", abort=True, err=True)
        with bar("Putting in place", None) as move:
            prepared.put_in_place(
                lambda done, total: move(done, total, "following the log"),
                lambda rows: move(0, None, counted(rows, "row") + " changed"),
            )
        typer.echo("The rebuilt store is in place.", err=True)


class Pace:
    """How fast something gets on, and how long it will take."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def note(self, done: int, total: int) -> str:
        """The state in words: how many, how fast, how much longer."""
        seconds = time.monotonic() - self._since
        told = f"{done:,} of {counted(total, 'event')}"
        if not done or seconds < 1:
            return told
        left = (total - done) * seconds / done
        return f"{told} · {done / seconds:,.0f}/s · {int(left // 60)}:{int(left % 60):02} left"


def _json(found: "Difference") -> dict[str, Any]:
    import msgspec

    from engine import money
    from engine.reconciliation.documents import PART_NAMES

    return {
        "documents": {"changed": found.changed, "new": found.new, "gone": found.gone, "outside": found.outside},
        "amounts": [
            {
                "company": company,
                "kind": kind,
                "currency": currency,
                **{
                    side: {
                        "documents": parts.documents[place],
                        **{part: money.text(getattr(parts, part)[place], currency or None) for part in PART_NAMES},
                    }
                    for place, side in enumerate(("before", "after"))
                },
            }
            for (company, kind, currency), parts in sorted(found.money.items())
        ],
        "shifts": msgspec.to_builtins(found.shifts),
    }
