"""Commands that look inside: what an event says, what the store holds, and whether both agree."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import InputArgument, JsonOption, examples, in_force
from tieout.cli.output import counted, emit, plain
from tieout.cli.pipeline import opened

if TYPE_CHECKING:
    from engine.events.facts import Fact
    from tieout.maintenance.verify import Difference

DECODE_EXAMPLES = examples(
    "tieout decode event.json",
    "tieout decode - < event.json",
    "tieout decode row.json --header ce_specversion=1.0 --header ce_type=tieout.row.changed --header ce_id=evt-1 \\\n"
    "    --header ce_source=/finance/contoso --header ce_time=2025-01-08T09:37:24Z",
)


def decode(
    file: InputArgument,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A header of the message, once for each.", show_default=False),
    ] = None,
) -> None:
    """Show what one event says, as JSON lines. Ends with 1 and the reason when it would be rejected."""
    from streams import codec
    from streams.codec.environments import from_setting

    settings = in_force()
    headers = [_header(text) for text in header or ()]
    with opened(file) as stream:
        value = stream.read()
    try:
        # A page as the API gave it has no time yet: it is worth a look all the same.
        facts = codec.decode(value, headers, environments=from_setting(settings.environments), undated=True)
    except codec.PartlyRejected as part:
        for fact in part.facts:
            emit(_fact_json(fact))
        raise
    for fact in facts:
        emit(_fact_json(fact))
    if not facts:
        sys.stderr.write("The event is accepted and changes nothing.\n")


def _header(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r}: write NAME=VALUE.", param_hint="'--header'")
    return name, value.encode()


def _fact_json(fact: "Fact") -> dict[str, Any]:
    from engine.errorlog.known_messages import recognise
    from engine.events.facts import Change, Heartbeat, iso
    from streams.codec import change_json

    if isinstance(fact, Change):
        return change_json(fact)
    evidence = fact.evidence
    event = {"at": iso(evidence.at), "event_id": evidence.event}
    if isinstance(fact, Heartbeat):
        return {"operation": "complete", "source": fact.source, "until": iso(fact.until), **event}
    recognised = recognise(fact.text) if fact.text else None
    return {
        "operation": fact.stage,
        "source": "finance",
        "process": fact.process,
        "run": fact.run,
        "company": fact.company,
        "scope": list(fact.scope),
        "subject": fact.subject,
        "code": recognised.code if recognised else None,
        "parameters": recognised.parameters if recognised else {},
        "text": fact.text,
        **event,
    }


DUMP_EXAMPLES = examples(
    "tieout dump > store.jsonl",
    "diff <(tieout dump) <(TIEOUT_STORE=sqlite:///other.sqlite tieout dump)",
    "tieout dump --state",
)


def dump(
    state: Annotated[
        bool, typer.Option("--state", help="What events do not say: attempts, sync runs, cursors, alerts, decisions.")
    ] = False,
) -> None:
    """Write all that the store says as JSON lines. Two stores are equal when their dumps are."""
    from store.operational import state_topic as kept
    from store.proof.dump import dump as lines
    from tieout.bootstrap import open_store

    with open_store(in_force(), write=False) as engine:
        if not state:
            for line in lines(engine):
                emit(line)
            return
        with engine.connect() as connection, connection.begin():
            for key, row in kept.contents(connection):
                emit(kept.dump_line(key, row))


VERIFY_EXAMPLES = examples("tieout verify", "tieout verify --json")

DIFFERENCES_SHOWN = 10
_CUT = 300


def verify(as_json: JsonOption = False) -> None:
    """Compute all anew from the topics and compare. A difference is shown, and makes it end with 1."""
    from tieout.cli.progress import bar
    from tieout.maintenance import verify as check

    settings = in_force()
    read = 0
    with bar("Computing anew", None) as move:

        def on_progress(done: int, total: int) -> None:
            nonlocal read
            read = done
            move(done, total, f"{done:,} of {counted(total, 'event')}")

        differences = check.verify(settings, on_progress)
    if as_json:
        for difference in differences:
            emit(difference)
    elif differences:
        _show_differences(differences)
    else:
        sys.stdout.write(f"The store says what its topics say: {counted(read, 'event')} read, no difference.\n")
    if differences:
        raise typer.Exit(1)


def _show_differences(differences: "list[Difference]") -> None:
    from tieout.maintenance.verify import DIFFERENCES_MAX

    lines = []
    for difference in differences[:DIFFERENCES_SHOWN]:
        lines.append(f"{difference.what} {plain(difference.name)}")
        for name, stored, computed in difference.members():
            lines += [f"  {name}", f"    in the store: {_short(stored)}", f"    computed:     {_short(computed)}"]
    number = counted(len(differences), "difference")
    if len(differences) == DIFFERENCES_MAX:
        number = f"{number} and perhaps more"
    lines.append(
        f"\n{number}. The store does not say what its topics say, and either may be at fault: the store was changed by "
        "hand, restored in part, or built under other companies (TIEOUT_COMPANIES); or the log has lost events that "
        "the store has seen (`tieout log check`, `tieout rejected list`). Keep both. Point TIEOUT_STORE to a new store "
        "and start `tieout run` to see what the topics give; go on with that one once you know that the log is whole."
    )
    sys.stdout.write("\n".join(lines) + "\n")


def _short(value: Any) -> str:
    import msgspec

    if value is None:
        return "nothing"
    text = plain(msgspec.json.encode(value).decode())
    return text if len(text) <= _CUT else f"{text[:_CUT]}…"
