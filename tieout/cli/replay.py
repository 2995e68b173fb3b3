"""`tieout replay`: rebuilds the store, shows what would change, and swaps it in."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import FromOption, JsonOption, ToOption, examples, load_settings
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
        typer.Option("--company", metavar="CODE", help="Show only changes of this company.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild the store from the topics under the current maps, show what changes, and replace the store in use.

    The changes of the period are listed with their amounts, those outside it are counted. The whole store is rebuilt,
    because a document may depend on events of any day. Readers are not blocked; the worker continues, and restarts on
    the rebuilt store. An interrupted or declined replay changes nothing. After a change of maps (TIEOUT_MAPS), workers
    load the configured files, or wait until these match the store.
    """
    from tieout.cli.operation_tables import show_replay
    from tieout.cli.progress import bar
    from tieout.cli.text_tables import console
    from tieout.maintenance.replay import prepare_replay

    if start is not None and end is not None and start > end:
        raise typer.BadParameter(f"{start} is after --to {end}.", param_hint="'--from'")

    def within(code: str, date: str) -> bool:
        return (company is None or code == company.upper()) and (not date or (start or "") <= date <= (end or "9999"))

    settings = load_settings()
    with ExitStack() as opened:
        with bar("Rebuilding", None) as move:
            pace = Pace()
            preparing = prepare_replay(settings, within, lambda done, total: move(done, total, pace.note(done, total)))
            prepared = opened.enter_context(preparing)
        difference = _json(prepared.difference)
        if as_json:
            emit(difference)
        else:
            show_replay(console(), difference)
        if dry_run:
            return
        if not yes:
            typer.confirm("Replace the store by the rebuilt one?", abort=True, err=True)
        with bar("Replacing the store", None) as move:
            prepared.swap(
                lambda done, total: move(done, total, "reading new events"),
                lambda rows: move(0, None, counted(rows, "row") + " changed"),
            )
        typer.echo("The store was replaced by the rebuilt one.", err=True)


class Pace:
    """Rate and remaining time of an operation."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def note(self, done: int, total: int) -> str:
        """Return the progress as text: events read, rate, remaining time."""
        seconds = time.monotonic() - self._since
        progress = f"{done:,} of {counted(total, 'event')}"
        if not done or seconds < 1:
            return progress
        left = (total - done) * seconds / done
        return f"{progress} · {done / seconds:,.0f}/s · {int(left // 60)}:{int(left % 60):02} left"


def _json(difference: "Difference") -> dict[str, Any]:
    import msgspec

    from engine import money
    from engine.reconciliation.documents import PART_NAMES

    return {
        "documents": {
            "changed": difference.changed,
            "new": difference.new,
            "gone": difference.gone,
            "outside": difference.outside,
        },
        "amounts": [
            {
                "company": company,
                "kind": kind,
                "currency": currency,
                **{
                    side: {
                        "documents": parts.documents[index],
                        **{part: money.text(getattr(parts, part)[index], currency or None) for part in PART_NAMES},
                    }
                    for index, side in enumerate(("before", "after"))
                },
            }
            for (company, kind, currency), parts in sorted(difference.money.items())
        ],
        "shifts": msgspec.to_builtins(difference.shifts),
    }
