"""Every topic on one page: what it holds, its key, how long it is kept, and who reads it.

A topic's full name is the environment's prefix and its own name: `tieout.finance.changes`. The prefix keeps apart the
environments that share a broker; nothing but the full name ever reaches the log.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

DEFAULT_PREFIX = "tieout"

# Kafka's own rule for topic names. The longest of our names has 17 characters, and Kafka allows 249.
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

# A fiscal year of 53 weeks has 371 days: "two fiscal years" must hold for companies that close by weeks, too.
TWO_FISCAL_YEARS = timedelta(days=2 * 371)

Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as it must exist on the log."""

    name: str
    """Without the prefix, as `tieout ingest` takes it."""
    holds: str
    key: str
    """What a record's key is; records of one key keep their order."""
    cleanup: Cleanup
    retention: timedelta | None
    """How long a record is kept at least; None: for ever, as far as compaction leaves it."""
    readers: tuple[str, ...]
    partitions: int | None = None
    """How many it always has; None: as many as the settings say."""

    def full_name(self, prefix: str = DEFAULT_PREFIX) -> str:
        """Return the name on the log. Raises `ValueError` for a prefix that Kafka would not take."""
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(
                f"The topic prefix {prefix!r} cannot be part of a topic name: use letters, digits, '.', '_' and '-', "
                "starting with a letter or digit."
            )
        return f"{prefix}.{self.name}"

    def parts(self, configured: int) -> int:
        """Return its number of partitions under settings that say so many."""
        return self.partitions or configured

    def config(self) -> Mapping[str, str]:
        """Return the topic's settings under Kafka's names.

        Times are those of the append: by the times of the events a reload of old ones would be deleted at once, and a
        look-up of the offset at a time would be wrong.
        """
        kept = -1 if self.retention is None else int(self.retention.total_seconds() * 1000)
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(kept),
            "message.timestamp.type": "LogAppendTime",
        }


FINANCE_CHANGES = Topic(
    name="finance.changes",
    holds="events of Dynamics 365 Finance as they came",
    key="row id when known",
    cleanup="delete",
    retention=TWO_FISCAL_YEARS,
    readers=("project", "replay", "verify"),
)
DATAVERSE_CHANGES = Topic(
    name="dataverse.changes",
    holds="events of Dataverse as they came",
    key="row id when known",
    cleanup="delete",
    retention=TWO_FISCAL_YEARS,
    readers=("project", "replay", "verify"),
)
COMMANDS = Topic(
    name="commands",
    holds="rows to read again, sync requests, retries, deletions",
    key="subject",
    cleanup="delete",
    # As long as the events beside which they are applied again.
    retention=TWO_FISCAL_YEARS,
    readers=("project", "handle"),
)
POSITIONS = Topic(
    name="positions",
    holds="the position of each document line after each change",
    key="document",
    cleanup="compact",
    retention=None,
    readers=("Power BI", "alerts", "others"),
)
ERRORS = Topic(
    name="errors",
    holds="errors of Finance's processes, and where each subject stands; the store is the truth",
    key="subject: company/process/subject",
    cleanup="compact,delete",
    retention=TWO_FISCAL_YEARS,
    readers=("alerts", "others"),
)
STATE = Topic(
    name="state",
    holds="what events do not say: attempts, sync runs, cursors, alerts, decisions; the store is the truth",
    key="kind and subject, as a JSON array",
    cleanup="compact",
    retention=None,
    readers=("a store that is made anew", "verify"),
    # What is written first is read first, whatever it is about.
    partitions=1,
)
REJECTED = Topic(
    name="rejected",
    holds="what could not be understood, with the reason",
    key="original place: topic, partition and offset",
    cleanup="delete",
    retention=timedelta(days=2 * 366),
    readers=("rejected list and show",),
)

CHANGES = (FINANCE_CHANGES, DATAVERSE_CHANGES)
"""The events of both systems; both have the same number of partitions."""

PROJECTED = (*CHANGES, COMMANDS)
"""What the writer reads. Of the commands it applies those that concern the store."""

TOPICS: Mapping[str, Topic] = {topic.name: topic for topic in (*CHANGES, COMMANDS, POSITIONS, ERRORS, STATE, REJECTED)}
"""All topics by their names without the prefix."""
