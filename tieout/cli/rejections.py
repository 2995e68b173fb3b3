"""`tieout rejected`: what could not be understood, from the topic it was put on (R7)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import JsonOption, examples, in_force
from tieout.cli.output import emit, plain

if TYPE_CHECKING:
    from streams.log import LogRecord
    from tieout.settings import Settings

LIST_EXAMPLES = examples("tieout rejected list", "tieout rejected list --json")
SHOW_EXAMPLES = examples("tieout rejected show tieout.finance.changes/0/17")

app = typer.Typer(
    help="Look at the events that could not be understood.",
    epilog=examples("tieout rejected list", "tieout rejected show tieout.finance.changes/0/17"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog=LIST_EXAMPLES)
def list_(as_json: JsonOption = False) -> None:
    """List the rejected events: where each stood and why it was refused."""
    from tieout.cli.tables import console, show_rejections

    found = _rejected(in_force())
    if not as_json:
        show_rejections(console(), list(found))
        return
    for event in found:
        emit(_for_programs(event))


@app.command(epilog=SHOW_EXAMPLES)
def show(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="As `tieout rejected list` shows it.", show_default=False)
    ],
    as_json: JsonOption = False,
) -> None:
    """Show a rejected event: the reason, where it stood, its headers and its bytes."""
    from engine.errors import QuestionError
    from tieout.cli.tables import console, show_rejection

    settings = in_force()
    wanted = {identifier, f"{settings.prefix}.{identifier}"}
    event = next((event for event in _rejected(settings) if event["id"] in wanted), None)
    if event is None:
        raise QuestionError(f"there is no rejected event {identifier!r}; `tieout rejected list` shows those there are.")
    if as_json:
        emit(_for_programs(event))
    else:
        show_rejection(console(), event, _shown(event["body"]))


def _rejected(settings: "Settings") -> Iterator[dict[str, Any]]:
    """The rejected events in the order they were rejected; one that was published twice comes once."""
    from streams.topics import REJECTED
    from tieout.bootstrap import open_log

    topic = REJECTED.full_name(settings.prefix)
    seen: set[str] = set()
    with open_log(settings, write=False) as log:
        for partition in range(log.partitions(topic)):
            at = log.start_offset(topic, partition)
            while records := log.read(topic, partition, at, 1_000, 8 * 1024 * 1024):
                at = records[-1].offset + 1
                for record in records:
                    event = _told(record)
                    if event is not None and event["id"] not in seen:
                        seen.add(event["id"])
                        yield event


def _told(record: "LogRecord") -> dict[str, Any] | None:
    from engine.changes import iso
    from streams.projector import as_json, read_rejection

    if record.value is None:
        return None
    event = read_rejection(record.value)
    return {
        "id": f"{event.topic}/{event.partition}/{event.offset}",
        "rejected_at": iso(record.timestamp * 1_000),
        **as_json(event),
        "bytes": len(event.value or b""),
        "body": event.value,
        "key_text": None if event.key is None else event.key.decode("utf-8", "backslashreplace"),
        "headers_text": [(name, content.decode("utf-8", "backslashreplace")) for name, content in event.headers],
    }


def _for_programs(event: dict[str, Any]) -> dict[str, Any]:
    """Without what is for people; `text` is the event where it is text, `value` its bytes in base64 in any case."""
    told = {name: value for name, value in event.items() if name not in ("body", "key_text", "headers_text")}
    try:
        told["text"] = None if event["body"] is None else event["body"].decode()
    except UnicodeDecodeError:
        told["text"] = None
    return told


def _shown(body: bytes | None) -> str:
    """The bytes as text, line by line; in hexadecimal where they are none."""
    if not body:
        return "(no bytes)"
    try:
        return "\n".join(plain(line) for line in body.decode().splitlines())
    except UnicodeDecodeError:
        rows = range(0, len(body), 16)
        return "\n".join(
            f"{row:08x}  {body[row : row + 16].hex(' '):<47}  {_letters(body[row : row + 16])}" for row in rows
        )


def _letters(part: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
