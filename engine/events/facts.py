"""What one event says, before any map is applied.

A codec (`streams.codec`) turns bytes into these; everything after it works on these alone.
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
"""The time of evidence that has none: it can be looked at, and never be applied."""


class Evidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which event says so, and how it ranks against others about the same column.

    `at` is the source's own time of the change in microseconds since 1970 UTC, `version` its row version or 0,
    `digest` the digest of the event: in this order they rank two values of a column
    (`docs/how-it-decides.md`, "Record: a row as last seen"). The place is where its bytes are found again.
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
        """The order of evidence: time, version, digest."""
        return (self.at, self.version, self.digest)


class Change(msgspec.Struct, gc=False):
    """A row of one system was made, changed or deleted, or should be read again (`notify`; `id` may be empty then).

    `columns` stand under the source's own names with values as the event wrote them: text, integers, booleans, None
    (cleared), lookups as `{"entity", "id", "name"}`, numbers with a fraction as their digits. An absent column is
    unchanged. A company the event named stands among them as well, as `maps.COMPANY`. `truncated`: the event was cut
    for its size (R5). `unknown` names columns whose values are of a kind the codec does not know (R2). `sent_id` is the
    id as it was sent, where `id` is the RecId within it. `read` is when an API answered with the row
    (microseconds since 1970 UTC), where one did.
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
        """As of when this is all of the row, a part of it lacking nothing (R5); None for what changed alone."""
        if self.operation not in ("create", "upsert"):
            return None
        return self.evidence.at if self.read is None else self.read


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """Everything the source has up to `until` (microseconds since 1970 UTC) has been sent (R21)."""

    source: Source
    until: int
    evidence: Evidence


class ProcessMessage(msgspec.Struct, frozen=True, gc=False):
    """A Finance process reported: it started, finished, failed, or has a message about a subject (R50)."""

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
)

_GUID = re.compile(r"\{?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\}?")
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME_ORDERED = re.compile(r"[0-9a-f]{32}")
_FINANCE_ETAG = re.compile(r'W/"([A-Za-z0-9+/=]{1,400})"', re.ASCII)
# RecVersion and RecId of each table behind the entity, its root first.
_RECORDS = re.compile(rb"'?-?\d+,(\d{1,19})[;']?", re.ASCII)
_NO_GUID: Final = "00000000-0000-0000-0000-000000000000"


def guid(text: str) -> str | None:
    """`text` as a guid in lower case without braces; None when it is none, or all zeros (which means "no row")."""
    if _CANONICAL.fullmatch(text):
        return None if text == _NO_GUID else text
    if found := _GUID.fullmatch(text):
        value = "-".join(found.groups()).lower()
        return None if value == _NO_GUID else value
    return None


def row_id(text: str) -> str:
    """A row id in one spelling: guids in lower case without braces, anything else as it came."""
    return text if text.isdigit() else guid(text) or text


def rec_id(identifier: str) -> str | None:
    """The RecId in the guid of a Finance row that Dataverse shows as a virtual row; None when it holds none.

    The first four bytes number the entity, the last eight are the RecId, the lowest byte first:
    `docs/domain/events.md` §3.
    """
    if len(identifier) != 36 or not _CANONICAL.fullmatch(identifier):
        return None
    number = int.from_bytes(bytes.fromhex(identifier[-17:].replace("-", "")), "little")
    return str(number) if 0 < number < 2**63 else None


def etag_record(etag: object) -> str | None:
    """The RecId in the etag of a row of Finance's OData, whose entities do not show it; None when it holds none."""
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
    """A spelling of a row id that sorts by age.

    Dataverse's guids are made in sequence, but their first eight bytes are written fastest-changing first; reversing
    them makes rows that were made together stand together in the store's trees (keys without locality cost a table of
    millions most of its speed). The mapping is one to one. Other ids (RecIds) already grow.
    """
    if len(identifier) != 36 or not _CANONICAL.fullmatch(identifier):
        return identifier
    raw = bytes.fromhex(identifier.replace("-", ""))
    return (raw[7::-1] + raw[8:]).hex()


def row_id_of(spelled: str) -> str:
    """The row id that `time_order` spelled."""
    if len(spelled) != 32 or not _TIME_ORDERED.fullmatch(spelled):
        return spelled
    raw = bytes.fromhex(spelled)
    h = (raw[7::-1] + raw[8:]).hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - for text that ends in Z


def microseconds(moment: datetime) -> int:
    """A moment with a zone as whole microseconds since 1970 UTC; exact."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment(at: int) -> datetime:
    """The moment `at` microseconds after 1970 UTC."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)


def iso(at: int) -> str:
    """`at` (microseconds since 1970) in ISO 8601, UTC, `Z`; fractions of a second only when there are any."""
    shown = _NAIVE_EPOCH + timedelta(microseconds=at)
    return shown.isoformat(timespec="microseconds" if at % 1_000_000 else "seconds") + "Z"
