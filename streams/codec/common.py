"""What all event families share: location and digest of an event, and the normalisation of text, ids and dates."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from engine.errors import Rejected
from engine.events.facts import guid, iso
from engine.mapping.values import parse_time

if TYPE_CHECKING:
    from streams.codec.environments import Environments

LONGEST_ID: Final = 200
LONGEST_NAME: Final = 200
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1

# Numbers with a fraction are decoded as strings: they may be money, and money is never a float.
json_decoder: Final = msgspec.json.Decoder(float_hook=str)

NOT_JSON: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What the parser raises for bytes that are not JSON, are nested too deeply, or do not match the schema."""

COMPANY_COLUMNS: Final = ("mserp_dataareaid", "dataAreaId", "DataAreaId", "dataareaid")
"""Column names of the company (legal entity) of a Finance row."""

REC_ID_COLUMNS: Final = ("RecId", "recid", "RecordId")
"""Column names of the RecId of a Finance row, where an entity exposes it."""

Headers = Sequence[tuple[str, bytes]]


class EventLocation(Protocol):
    """Location of an event in the log. `streams.log.LogRecord` implements it."""

    @property
    def topic(self) -> str:
        """Full topic name."""

    @property
    def partition(self) -> int:
        """Partition number."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""


class StaticLocation(msgspec.Struct, frozen=True):
    """An `EventLocation` without a record; the default is that of an event that does not come from a log."""

    topic: str = ""
    partition: int = 0
    offset: int = 0


NO_LOCATION: Final = StaticLocation()


class Event(msgspec.Struct, frozen=True, gc=False):
    """The bytes of one event, with its metadata."""

    value: bytes
    headers: Headers
    location: EventLocation
    environments: "Environments | None"
    """Environments that are accepted; None accepts any."""
    answered: int | None = None
    """Time of the API response (microseconds since 1970 UTC), from the poller's header."""
    undated: bool = False
    """Accept rows without a timestamp: for inspection only, since they cannot be ordered."""
    table: str = ""
    """Table of an exported row, from a header."""
    inside: str = ""
    """Name of the envelope that was removed; empty if there was none."""

    def digest(self) -> bytes:
        """Return the digest that identifies this event."""
        return blake2b(self.value, digest_size=16).digest()


def json_type_name(content: object) -> str:
    """Return the JSON type of a value, for a rejection reason."""
    names = {list: "an array", str: "a text", bool: "a truth value", int: "a number", type(None): "null"}
    return names.get(type(content), type(content).__name__)


def excerpt(value: object) -> str:
    """Return the beginning of a value of an event, for a rejection reason."""
    return repr(value)[:80]


def clean(value: object, longest: int = LONGEST_ID) -> str:
    """Normalise a key or a name: trimmed, GUIDs normalised; empty if `value` is not usable as one."""
    if type(value) is not str:
        value = unwrap_scalar(value)
        if type(value) is int:
            value = str(value)
        if type(value) is not str:
            return ""
    text = normalize_guid(value.strip())
    return "" if len(text) > longest or "\0" in text else text


def unwrap_scalar(value: Any) -> Any:
    """Unwrap a scalar in `{"__type": "Guid:#System", "__value": …}`, as some serialisers write; return any other value
    unchanged.
    """
    if type(value) is dict and type(value.get("__type")) is str:
        inner = value.get("__value", value)
        return value if type(inner) in (dict, list) else inner
    return value


_ZERO_GUID: Final = "00000000-0000-0000-0000-000000000000"


def normalize_guid(text: str) -> str:
    """Return a GUID in lower case without braces, any other text unchanged (R8)."""
    return _normalize_guid(text) if 36 <= len(text) <= 38 else text


@lru_cache(maxsize=16_384)
def _normalize_guid(text: str) -> str:
    bare = text.strip("{}").lower()
    return bare if bare == _ZERO_GUID else guid(text) or text


def row_guid(value: object) -> str:
    """Normalise an id; empty if `value` is no id or the zero GUID, which means "no row" or "no operation" (R8)."""
    text = clean(value)
    return "" if text == _ZERO_GUID else text


_REC_ID: Final = re.compile(r"(\d{1,19})(?:\.0+)?", re.ASCII)


def parse_rec_id(value: object) -> str:
    """Parse a RecId; empty if `value` is missing or zero. Accepts 5637144576.0, which spreadsheet tools write.

    Raises `Rejected` for a number with a fraction: truncating it would address another row.
    """
    text = clean(value)
    if not text.strip("0."):
        return ""
    match = _REC_ID.fullmatch(text)
    if match is None:
        raise Rejected(f"the RecId {excerpt(text)} is no whole number")
    return match[1].lstrip("0")


def blank_if_zero_guid(text: str) -> str:
    """Return a text unchanged; empty if it is the zero GUID."""
    return "" if 36 <= len(text) <= 38 and text.strip("{}") == _ZERO_GUID else text


# --- dates ------------------------------------------------------------------------------------------------------------

_DATE: Final = re.compile(r"/Date\((-?\d{1,15})([+-]\d{4})?\)/", re.ASCII)
# The years 1 to 9999, in milliseconds since 1970.
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999
# Finance's empty date-time is 1900-01-01; a day either side covers every time zone.
_EMPTY_DATE, _A_DAY = -2_208_988_800_000, 86_400_000


def date_to_iso(text: str) -> str:
    """Convert `/Date(ms)/` of a column to ISO 8601 in UTC; return any other text unchanged.

    The milliseconds of a column are UTC, whatever offset follows them.
    """
    return _date_to_iso(text) or text


@lru_cache(maxsize=8_192)
def _date_to_iso(text: str) -> str | None:
    match = _DATE.fullmatch(text)
    if match is None or not _EARLIEST <= (milliseconds := int(match[1])) <= _LATEST:
        return None
    return iso(milliseconds * 1000)


def operation_time(value: object) -> int | None:
    """Parse the time of an operation (`/Date(ms)/` or RFC 3339) into microseconds since 1970 UTC; None if invalid.

    With an offset other than +0000, the milliseconds are those of the local clock: UTC = ms + offset. Only this
    interpretation agrees with `modifiedon` of the rows in captures of unrelated installations
    (`docs/domain/events.md` §1).
    """
    if type(value) is not str:
        value = unwrap_scalar(value)
        if type(value) is not str:
            return None
    match = _DATE.fullmatch(value)
    if match is None:
        return parse_event_time(value)
    milliseconds, zone = int(match[1]), match[2]
    if zone is not None:
        minutes = int(zone[1:3]) * 60 + int(zone[3:])
        milliseconds += (-minutes if zone[0] == "-" else minutes) * 60_000
    if not _EARLIEST <= milliseconds <= _LATEST or _is_empty(milliseconds):
        return None
    return milliseconds * 1000


def parse_event_time(text: str) -> int | None:
    """Parse an RFC 3339 time into microseconds since 1970 UTC; None if it is invalid or an empty date."""
    at = parse_time(text)
    return None if at is None or _is_empty(at // 1000) else at


def _is_empty(milliseconds: int) -> bool:
    """Return True for times that mean "no date": 1900-01-01 of Finance, and 0001-01-01, the default of .NET."""
    return abs(milliseconds - _EMPTY_DATE) <= _A_DAY or milliseconds <= _EARLIEST + _A_DAY


def normalize_text(value: str) -> str:
    """Normalise a text column: times to ISO 8601 in UTC, GUIDs to one spelling; other text is unchanged."""
    if value.startswith("/Date("):
        return date_to_iso(value)
    return _to_utc(value) if value[10:11] == "T" and value[-1] != "Z" else normalize_guid(value)


_LOCAL_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)([+-]\d{2}:\d{2})?", re.ASCII)


@lru_cache(maxsize=8_192)
def _to_utc(text: str) -> str:
    """Convert a time with an offset, or without a zone, to UTC; return any other text unchanged.

    .NET rewrites a time of `/Date(ms+0000)/` in the time zone of its machine, where the day may differ.
    """
    match = _LOCAL_TIME.fullmatch(text) if len(text) < 40 else None
    if match is None:
        return text
    at = parse_time(text if match[2] else f"{text}Z")
    return text if at is None else iso(at)


def modified_time(columns: dict[str, Any]) -> int | None:
    """Return `modifiedon` of a row in microseconds since 1970 UTC, if present. It takes precedence over other times."""
    modified = columns.get("modifiedon")
    return parse_event_time(modified) if type(modified) is str else None
