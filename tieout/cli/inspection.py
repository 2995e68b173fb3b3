"""Commands that inspect events and the store: `decode`, `dump`, `verify`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import InputArgument, JsonOption, examples, load_settings
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
        typer.Option(metavar="NAME=VALUE", help="Header of the message; repeat it for several.", show_default=False),
    ] = None,
) -> None:
    """Decode an event and print its content as JSON lines. Exits with 1 and the reason if it would be rejected."""
    from streams import codec
    from streams.codec.environments import from_setting

    settings = load_settings()
    headers = [_header(text) for text in header or ()]
    with opened(file) as stream:
        value = stream.read()
    try:
        # A page of an API has no time before a poller adds it; it is decoded nevertheless.
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
        bool,
        typer.Option(
            "--state",
            help="Dump the state that is not in events: attempts, sync runs, cursors, alerts.",
        ),
    ] = False,
) -> None:
    """Print the canonical dump of the store as JSON lines. Two stores are equal when their dumps are."""
    from store.operational import state_topic
    from store.proof.dump import dump as lines
    from tieout.bootstrap import open_store

    with open_store(load_settings(), write=False) as engine:
        if not state:
            for line in lines(engine):
                emit(line)
            return
        with engine.connect() as connection, connection.begin():
            for key, row in state_topic.contents(connection):
                emit(state_topic.dump_line(key, row))


VERIFY_EXAMPLES = examples("tieout verify", "tieout verify --json")

DIFFERENCES_SHOWN = 10
_CUT = 300


def verify(as_json: JsonOption = False) -> None:
    """Recompute the store from the topics and compare. Exits with 1 and the differences if there are any."""
    from tieout.cli.progress import bar
    from tieout.maintenance import verify as verification

    settings = load_settings()
    read = 0
    with bar("Recomputing", None) as move:

        def on_progress(done: int, total: int) -> None:
            nonlocal read
            read = done
            move(done, total, f"{done:,} of {counted(total, 'event')}")

        differences = verification.verify(settings, on_progress)
    if as_json:
        for difference in differences:
            emit(difference)
    elif differences:
        _show_differences(differences)
    else:
        sys.stdout.write(f"The store matches its topics: {counted(read, 'event')} read, no difference.\n")
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
        f"\n{number}. The store does not match its topics. Either the store was changed by hand, restored in part, or "
        "built under other companies (TIEOUT_COMPANIES), or the log has lost events that the store has applied (check "
        "with `tieout log check` and `tieout rejected list`). Keep both. To rebuild from the topics, set TIEOUT_STORE "
        "to a new store and start `tieout run`; use the new store once you know that the log is complete."
    )
    sys.stdout.write("\n".join(lines) + "\n")


def _short(value: Any) -> str:
    import msgspec

    if value is None:
        return "nothing"
    text = plain(msgspec.json.encode(value).decode())
    return text if len(text) <= _CUT else f"{text[:_CUT]}…"
