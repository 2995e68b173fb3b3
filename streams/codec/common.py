"""What every family of events shares: the location and digest of an event, its environment, texts and dates."""

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

# A number with a fraction arrives as its digits: it may be money, and money is never a float.
plain: Final = msgspec.json.Decoder(float_hook=str)

NOT_JSON: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What the parser raises for bytes that are no JSON, are nested beyond reason, or say something else."""

COMPANY_COLUMNS: Final = ("mserp_dataareaid", "dataAreaId", "DataAreaId", "dataareaid")
"""The names of a row's company in Finance."""

REC_ID_COLUMNS: Final = ("RecId", "recid", "RecordId")
"""The names of a row's own number in Finance, where an entity shows it."""

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
    """The bytes of one event and what is known of them beside."""

    value: bytes
    headers: Headers
    location: EventLocation
    environments: "Environments | None"
    """Those that an event may come from, None for any."""
    answered: int | None = None
    """When the API gave this answer (microseconds since 1970 UTC), as its poller says in a header."""
    undated: bool = False
    """Whether rows without any time are wanted all the same, to be looked at."""
    table: str = ""
    """The table of an exported row, from a header."""
    inside: str = ""
    """The name of the envelope that was removed; empty if there was none."""

    def digest(self) -> bytes:
        """The digest that tells this event from every other."""
        return blake2b(self.value, digest_size=16).digest()


def named(content: object) -> str:
    """The kind of a JSON value in words."""
    names = {list: "an array", str: "a text", bool: "a truth value", int: "a number", type(None): "null"}
    return names.get(type(content), type(content).__name__)


def shown(value: object) -> str:
    """A value of an event inside a reason."""
    return repr(value)[:80]


def clean(value: object, longest: int = LONGEST_ID) -> str:
    """A text that may stand in a key or a name: trimmed, guids in one spelling; empty when `value` is none."""
    if type(value) is not str:
        value = unwrapped(value)
        if type(value) is int:
            value = str(value)
        if type(value) is not str:
            return ""
    text = normal(value.strip())
    return "" if len(text) > longest or "\0" in text else text


def unwrapped(value: Any) -> Any:
    """Unwrap a scalar in `{"__type": "Guid:#System", "__value": …}`, as some serialisers write; return anything else as
    it came.
    """
    if type(value) is dict and type(value.get("__type")) is str:
        inner = value.get("__value", value)
        return value if type(inner) in (dict, list) else inner
    return value


_ZERO_GUID: Final = "00000000-0000-0000-0000-000000000000"


def normal(text: str) -> str:
    """Text as it came, a guid in lower case without braces (R8)."""
    return _normal(text) if 36 <= len(text) <= 38 else text


@lru_cache(maxsize=16_384)
def _normal(text: str) -> str:
    bare = text.strip("{}").lower()
    return bare if bare == _ZERO_GUID else guid(text) or text


def row_guid(value: object) -> str:
    """An id; empty when `value` is none or the zero guid, which means "no row", "no operation" and so on (R8)."""
    text = clean(value)
    return "" if text == _ZERO_GUID else text


_REC_ID: Final = re.compile(r"(\d{1,19})(?:\.0+)?", re.ASCII)


def whole_rec_id(value: object) -> str:
    """A RecId; empty when `value` is none or zero. A table tool may write 5637144576.0, which is the same row.

    Raises `Rejected` for what is no whole number: it would be another row.
    """
    text = clean(value)
    if not text.strip("0."):
        return ""
    found = _REC_ID.fullmatch(text)
    if found is None:
        raise Rejected(f"the RecId {shown(text)} is no whole number")
    return found[1].lstrip("0")


def not_zero(text: str) -> str:
    """Text as it came; empty when it is the zero guid."""
    return "" if 36 <= len(text) <= 38 and text.strip("{}") == _ZERO_GUID else text


# --- dates ------------------------------------------------------------------------------------------------------------

_DATE: Final = re.compile(r"/Date\((-?\d{1,15})([+-]\d{4})?\)/", re.ASCII)
# The years 1 to 9999, in milliseconds since 1970.
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999
# Finance's empty date-time is 1900-01-01; a day either side covers every time zone.
_EMPTY_DATE, _A_DAY = -2_208_988_800_000, 86_400_000


def date_text(text: str) -> str:
    """A column's `/Date(ms)/` as ISO 8601 in UTC; as it came when it is none.

    A column's milliseconds are UTC whatever zone is written behind them.
    """
    return _dated(text) or text


@lru_cache(maxsize=8_192)
def _dated(text: str) -> str | None:
    found = _DATE.fullmatch(text)
    if found is None or not _EARLIEST <= (milliseconds := int(found[1])) <= _LATEST:
        return None
    return iso(milliseconds * 1000)


def operation_time(value: object) -> int | None:
    """The time of an operation, in microseconds since 1970 UTC: `/Date(ms)/`, or RFC 3339; None when it is none.

    With a zone other than +0000 the milliseconds are those of the local clock: UTC = ms + offset. Only this reading
    agrees with the rows' own `modifiedon` in captures of unrelated installations (`docs/domain/events.md` §1).
    """
    if type(value) is not str:
        value = unwrapped(value)
        if type(value) is not str:
            return None
    found = _DATE.fullmatch(value)
    if found is None:
        return time_of(value)
    milliseconds, zone = int(found[1]), found[2]
    if zone is not None:
        minutes = int(zone[1:3]) * 60 + int(zone[3:])
        milliseconds += (-minutes if zone[0] == "-" else minutes) * 60_000
    if not _EARLIEST <= milliseconds <= _LATEST or _is_empty(milliseconds):
        return None
    return milliseconds * 1000


def time_of(text: str) -> int | None:
    """An RFC 3339 time in microseconds since 1970 UTC; None when it is none, or an empty date."""
    at = parse_time(text)
    return None if at is None or _is_empty(at // 1000) else at


def _is_empty(milliseconds: int) -> bool:
    """Whether a time means none: Finance's empty date, or .NET's default, the first of January of the year 1."""
    return abs(milliseconds - _EMPTY_DATE) <= _A_DAY or milliseconds <= _EARLIEST + _A_DAY


def text_of_date(value: str) -> str:
    """A text column as `decode` prints it: times in ISO 8601 and UTC, guids in one spelling, other text as it came."""
    if value.startswith("/Date("):
        return date_text(value)
    return _in_utc(value) if value[10:11] == "T" and value[-1] != "Z" else normal(value)


_LOCAL_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)([+-]\d{2}:\d{2})?", re.ASCII)


@lru_cache(maxsize=8_192)
def _in_utc(text: str) -> str:
    """A time with an offset, or without a zone, in UTC; any other text as it came.

    .NET writes a time of `/Date(ms+0000)/` again in the zone of its machine: its day there may be another one.
    """
    found = _LOCAL_TIME.fullmatch(text) if len(text) < 40 else None
    if found is None:
        return text
    at = parse_time(text if found[2] else f"{text}Z")
    return text if at is None else iso(at)


def columns_time(columns: dict[str, Any]) -> int | None:
    """When the row itself says it was changed, in microseconds since 1970 UTC; it ranks before any other time."""
    modified = columns.get("modifiedon")
    return time_of(modified) if type(modified) is str else None
