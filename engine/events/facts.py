"""The decoded facts of one event, before any map is applied.

A codec (`streams.codec`) decodes bytes into these types; everything downstream works on them alone.
"""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

Operation = Literal["create", "update", "upsert", "delete", "notify"]
Source = Literal["dataverse", "finance"]

UNDATED: Final = -(2**63)
"""The time of evidence without a time. Such an event can be shown, but never applied."""


class Evidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The event that a value comes from, with its precedence over other values of the same column.

    `at` is the time of the change by the source, in microseconds since 1970 UTC; `version` its row version, or 0;
    `digest` the digest of the event. Two values of a column are ordered by these three (`docs/how-it-decides.md`,
    "Record: a row as last seen"). `topic`, `partition` and `offset` locate the bytes of the event.
    """

    at: int
    version: int
    digest: bytes
    source: str
    event: str
    topic: str = ""
    partition: int = 0
    offset: int = 0

    @property
    def precedence(self) -> tuple[int, int, bytes]:
        """The last-writer-wins order of values: time, version, digest."""
        return (self.at, self.version, self.digest)


class Change(msgspec.Struct, gc=False):
    """A row of one system was created, changed or deleted, or must be re-read (`notify`; `id` may then be empty).

    `columns` maps the column names of the source to values as the event wrote them: text, integers, booleans, None
    (cleared), lookups as `{"entity", "id", "name"}`, numbers with a fraction as their digits. An absent column is
    unchanged. The company that the event named is also a column, `compiler.COMPANY`. `truncated`: the event was
    truncated for its size (R5). `unknown` names columns with values of a type that the codec does not know (R2).
    `sent_id` is the original id if `id` is the RecId within it. `read` is the time at which an API returned the row
    (microseconds since 1970 UTC), if one did.
    """

    operation: Operation
    source: Source
    entity: str
    id: str
    evidence: Evidence
    columns: dict[str, Any]
    company: str | None = None
    correlation_id: str | None = None
    truncated: bool = False
    unknown: tuple[str, ...] = ()
    sent_id: str | None = None
    read: int | None = None

    @property
    def whole(self) -> int | None:
        """The time as of which this is the complete row, without missing columns (R5); None for a partial change."""
        if self.operation not in ("create", "upsert"):
            return None
        return self.evidence.at if self.read is None else self.read


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """The source has sent all its changes up to `until` (microseconds since 1970 UTC) (R21)."""

    source: Source
    until: int
    evidence: Evidence


class ProcessMessage(msgspec.Struct, frozen=True, gc=False):
    """A process of Finance, or dual-write, started, finished, failed, or reported a message about a subject (R50)."""

    stage: Literal["started", "message", "finished", "failed"]
    process: str
    run: str
    company: str | None
    scope: tuple[str, ...]
    subject: str | None
    text: str | None
    evidence: Evidence


Fact = Change | Heartbeat | ProcessMessage

PROCESSES: Final = (
    "import-from-staging",
    "integration-journal-posting",
    "invoice-proposal",
    "general-journal-sync",
    "dual-write",
)

_GUID = re.compile(r"\{?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\}?")
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME_ORDERED = re.compile(r"[0-9a-f]{32}")
_FINANCE_ETAG = re.compile(r'W/"([A-Za-z0-9+/=]{1,400})"', re.ASCII)
# RecVersion and RecId of each table of the entity, its root table first.
_RECORDS = re.compile(rb"'?-?\d+,(\d{1,19})[;']?", re.ASCII)
_NO_GUID: Final = "00000000-0000-0000-0000-000000000000"


def guid(text: str) -> str | None:
    """Normalise a guid to lower case without braces; None if it is none, or all zeros, which means "no row"."""
    if _CANONICAL.fullmatch(text):
        return None if text == _NO_GUID else text
    if match := _GUID.fullmatch(text):
        value = "-".join(match.groups()).lower()
        return None if value == _NO_GUID else value
    return None


def row_id(text: str) -> str:
    """Normalise a row id: guids to lower case without braces, anything else unchanged."""
    return text if text.isdigit() else guid(text) or text


def rec_id(identifier: str) -> str | None:
    """Return the RecId within the guid of a Finance row that Dataverse shows as a virtual row; None if it contains
    none.

    The first four bytes number the entity; the last eight are the RecId in little-endian order: `docs/domain/events.md`
    §3.
    """
    if len(identifier) != 36 or not _CANONICAL.fullmatch(identifier):
        return None
    number = int.from_bytes(bytes.fromhex(identifier[-17:].replace("-", "")), "little")
    return str(number) if 0 < number < 2**63 else None


def etag_record(etag: object) -> str | None:
    """Return the RecId within the etag of a row of Finance OData, whose entities do not expose it; None if absent."""
    tag = _FINANCE_ETAG.fullmatch(etag) if type(etag) is str else None
    if tag is None:
        return None
    try:
        records = _RECORDS.match(base64.b64decode(tag[1], validate=True))
    except (binascii.Error, ValueError):
        return None
    return str(int(records[1])) if records and int(records[1]) else None


@lru_cache(maxsize=16_384)
def time_order(identifier: str) -> str:
    """Return a spelling of a row id that sorts by age.

    Dataverse creates guids in sequence, but writes their first eight bytes with the fastest-changing byte first.
    Reversed, rows that were created together are adjacent in the B-trees of the store; keys without locality cost a
    table of millions most of its speed. The mapping is one to one. Other ids (RecIds) already ascend.
    """
    if len(identifier) != 36 or not _CANONICAL.fullmatch(identifier):
        return identifier
    raw = bytes.fromhex(identifier.replace("-", ""))
    return (raw[7::-1] + raw[8:]).hex()


def row_id_of(spelled: str) -> str:
    """Return the row id that `time_order` spelled."""
    if len(spelled) != 32 or not _TIME_ORDERED.fullmatch(spelled):
        return spelled
    raw = bytes.fromhex(spelled)
    h = (raw[7::-1] + raw[8:]).hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - for text that ends in Z


def microseconds(moment: datetime) -> int:
    """Return a time with a zone as whole microseconds since 1970 UTC, exactly."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment(at: int) -> datetime:
    """Return the time `at` microseconds after 1970 UTC."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)


def iso(at: int) -> str:
    """Format `at` (microseconds since 1970) in ISO 8601, UTC, `Z`; with a fraction of a second only if it is not 0."""
    time = _NAIVE_EPOCH + timedelta(microseconds=at)
    return time.isoformat(timespec="microseconds" if at % 1_000_000 else "seconds") + "Z"
