"""Ingests JSON lines: `{"topic", "key", "headers", "value"}`, or `value_base64` for bytes that are not JSON.

An invalid line is refused with its number; the others are ingested. Ingestion is idempotent: an event that arrives
twice counts once.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

import msgspec

from engine.errors import InputError
from streams.log import RECORD_BYTES_MAX, EventLog, LogError, NewRecord
from streams.topics import CHANGES

# As many records as a worker applies at a time, limited in bytes for large events.
BATCH_RECORDS: Final = 5_000
BATCH_BYTES: Final = 32 * 1024 * 1024
# The largest event in base64, with room for its key and headers.
LINE_BYTES_MAX: Final = 2 * RECORD_BYTES_MAX

_TOPICS: Final = tuple(topic.name for topic in CHANGES)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class _IngestLine(msgspec.Struct):
    topic: str
    key: str | int | None = None
    headers: dict[str, str] | list[tuple[str, str]] | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    value_base64: str | msgspec.UnsetType = msgspec.UNSET


class LineRefused(InputError):
    """A line is not an event for a change topic. The text contains the remedy."""

    code = "line-refused"


class Ingested(msgspec.Struct, frozen=True):
    """The number of events that were appended, and of lines that were refused."""

    events: int
    refused: int


_decode: Final = msgspec.json.Decoder(_IngestLine).decode


def numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a stream with their numbers, and only the beginning of a line that is too long."""
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
    """Append the events of numbered lines in batches. `refuse` receives number and reason of each invalid line.

    Raises `LogError`, with the number of appended events, if the log fails.
    """
    events = refused = held = 0
    batch: list[NewRecord] = []

    def append() -> None:
        nonlocal events
        try:
            log.append(batch)
        except LogError as error:
            raise type(error)(
                f"{error}\n{events:,} events were ingested. Correct the cause, then ingest the whole file again: "
                "an event that arrives twice counts once."
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
    """Return the event of a line, None for an empty one. The bytes of the value are unchanged. Raises `LineRefused`."""
    if len(line) >= LINE_BYTES_MAX:
        raise LineRefused(_too_large(len(line), "over "))
    line = line.removeprefix(_BYTE_ORDER_MARK).strip()
    if not line:
        return None
    try:
        parsed = _decode(line)
    except msgspec.ValidationError as error:
        raise LineRefused(f'{error}. Write {{"topic": …, "key": …, "headers": {{…}}, "value": {{…}}}}.') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LineRefused(f"not JSON ({error}). Write one JSON object per line, in UTF-8.") from None
    if parsed.topic not in _TOPICS:
        raise LineRefused(
            f"unknown topic {parsed.topic[:80]!r}. Use {' or '.join(_TOPICS)}, without the environment's prefix."
        )
    key = None if parsed.key is None else str(parsed.key).encode()
    value = _value(parsed)
    pairs = parsed.headers.items() if isinstance(parsed.headers, dict) else parsed.headers or ()
    headers = tuple((name, content.encode()) for name, content in pairs)
    size = len(key or b"") + len(value) + sum(len(name) + len(content) for name, content in headers)
    if size > RECORD_BYTES_MAX:
        raise LineRefused(_too_large(size))
    return NewRecord(f"{prefix}.{parsed.topic}", key, value, headers)


def _value(line: _IngestLine) -> bytes:
    if isinstance(line.value_base64, str):
        if not isinstance(line.value, msgspec.UnsetType):
            raise LineRefused("both value and value_base64 are given. Leave one out.")
        try:
            return base64.b64decode(line.value_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise LineRefused(
                f"value_base64 is not base64 ({error}). Encode the event's bytes with the standard alphabet."
            ) from None
    if isinstance(line.value, msgspec.UnsetType):
        raise LineRefused("the value is missing. Write the event as value, or its bytes as value_base64.")
    return bytes(line.value)


def _too_large(size: int, over: str = "") -> str:
    return (
        f"the event has {over}{size:,} bytes; the limit is {RECORD_BYTES_MAX:,}. "
        "Send one row in an event, not a whole export."
    )
