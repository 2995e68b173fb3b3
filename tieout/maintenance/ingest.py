"""Events from JSON lines onto the topics: `{"topic", "key", "headers", "value"}`, or `value_base64` for other bytes.

A line that cannot be taken is refused with its number, and the rest goes on. Taking a file twice is harmless: an event
that comes twice counts once.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

import msgspec

from engine.errors import InputError
from streams.log import RECORD_BYTES_MAX, EventLog, LogError, NewRecord
from streams.topics import CHANGES

# As many as a worker applies at a time; a few of the largest events are a batch as well.
BATCH_RECORDS: Final = 5_000
BATCH_BYTES: Final = 32 * 1024 * 1024
# The largest event in base64, with room for its key and headers.
LINE_BYTES_MAX: Final = 2 * RECORD_BYTES_MAX

_TOPICS: Final = tuple(topic.name for topic in CHANGES)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class _Line(msgspec.Struct):
    topic: str
    key: str | int | None = None
    headers: dict[str, str] | list[tuple[str, str]] | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    value_base64: str | msgspec.UnsetType = msgspec.UNSET


class LineRefused(InputError):
    """A line that is no event for the topics; the text says what to do."""

    code = "line-refused"


class Ingested(msgspec.Struct, frozen=True):
    """How many events are in the log now, and how many lines were refused."""

    events: int
    refused: int


_decode: Final = msgspec.json.Decoder(_Line).decode


def numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream with their numbers; of one that is far too long only the beginning."""
    number = 0
    while line := stream.readline(LINE_BYTES_MAX):
        number += 1
        yield number, line
        rest = line
        while len(rest) == LINE_BYTES_MAX and not rest.endswith(b"\n"):
            rest = stream.readline(LINE_BYTES_MAX)


def ingest(
    log: EventLog,
    lines: Iterable[tuple[int, bytes]],
    *,
    prefix: str,
    refuse: Callable[[int, str], None],
    on_progress: Callable[[int], None] = lambda events: None,
) -> Ingested:
    """Append the events of the numbered lines in batches; `refuse` is told of each line that is none, with what to do.

    Raises `LogError`, with the number of events that are in, when the log fails.
    """
    events = refused = held = 0
    batch: list[NewRecord] = []

    def append() -> None:
        nonlocal events
        try:
            log.append(batch)
        except LogError as error:
            raise type(error)(
                f"{error}\n{events:,} events are in the log. Ingest the whole file again after that: "
                "an event that comes twice counts once."
            ) from error
        events += len(batch)
        on_progress(events)

    for number, line in lines:
        try:
            record = read_line(line, prefix)
        except LineRefused as reason:
            refused += 1
            refuse(number, str(reason))
            continue
        if record is None:
            continue
        batch.append(record)
        held += len(record.value or b"")
        if len(batch) == BATCH_RECORDS or held >= BATCH_BYTES:
            append()
            batch, held = [], 0
    if batch:
        append()
    return Ingested(events, refused)


def read_line(line: bytes, prefix: str) -> NewRecord | None:
    """The event of a line; None for an empty one. The value keeps its bytes as written. Raises `LineRefused`."""
    if len(line) >= LINE_BYTES_MAX:
        raise LineRefused(_too_large(len(line), "over "))
    line = line.removeprefix(_BYTE_ORDER_MARK).strip()
    if not line:
        return None
    try:
        read = _decode(line)
    except msgspec.ValidationError as error:
        raise LineRefused(f'{error}: write {{"topic": …, "key": …, "headers": {{…}}, "value": {{…}}}}.') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LineRefused(f"not JSON ({error}): write one whole JSON object on each line, in UTF-8.") from None
    if read.topic not in _TOPICS:
        raise LineRefused(
            f"unknown topic {read.topic[:80]!r}: use {' or '.join(_TOPICS)}, without the environment's prefix."
        )
    key = None if read.key is None else str(read.key).encode()
    value = _value(read)
    pairs = read.headers.items() if isinstance(read.headers, dict) else read.headers or ()
    headers = tuple((name, content.encode()) for name, content in pairs)
    size = len(key or b"") + len(value) + sum(len(name) + len(content) for name, content in headers)
    if size > RECORD_BYTES_MAX:
        raise LineRefused(_too_large(size))
    return NewRecord(f"{prefix}.{read.topic}", key, value, headers)


def _value(read: _Line) -> bytes:
    if isinstance(read.value_base64, str):
        if not isinstance(read.value, msgspec.UnsetType):
            raise LineRefused("both value and value_base64 are given: leave one out.")
        try:
            return base64.b64decode(read.value_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise LineRefused(
                f"value_base64 is no base64 ({error}): encode the event's bytes with the standard alphabet."
            ) from None
    if isinstance(read.value, msgspec.UnsetType):
        raise LineRefused("there is no value: give the event as value, or its bytes as value_base64.")
    return bytes(read.value)


def _too_large(size: int, over: str = "") -> str:
    return (
        f"the event has {over}{size:,} bytes and the log takes {RECORD_BYTES_MAX:,}: "
        "send one row in an event, not a whole export."
    )
