"""The topics: contents, key and retention of each.

The full name of a topic is the prefix of the environment and its own name: `tieout.finance.changes`. The prefix
separates environments that share a broker. The log knows full names only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

DEFAULT_PREFIX = "tieout"

# Kafka's own rule for topic names. The longest of our names has 17 characters, and Kafka allows 249.
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

# A fiscal year of 53 weeks has 371 days. Companies that close by weeks need two of these.
TWO_FISCAL_YEARS = timedelta(days=2 * 371)

Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic with its required settings."""

    name: str
    """Name without the prefix, as `tieout ingest` accepts it."""
    holds: str
    key: str
    """Meaning of the key of a record. Records of one key keep their order."""
    cleanup: Cleanup
    retention: timedelta | None
    """Minimum retention of a record; None: unlimited, except for compaction."""
    partitions: int | None = None
    """Fixed number of partitions; None: the configured number."""

    def full_name(self, prefix: str = DEFAULT_PREFIX) -> str:
        """Return the full name. Raises `ValueError` for a prefix that Kafka does not accept."""
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(
                f"The topic prefix {prefix!r} cannot be part of a topic name: use letters, digits, '.', '_' and '-', "
                "starting with a letter or digit."
            )
        return f"{prefix}.{self.name}"

    def parts(self, configured: int) -> int:
        """Return the number of partitions, given the configured number."""
        return self.partitions or configured

    def config(self) -> Mapping[str, str]:
        """Return the topic's settings under Kafka's names.

        Timestamps are those of the append. With the times of the events, reloaded old events would be deleted at once,
        and finding the offset at a time would return wrong results.
        """
        retention_ms = -1 if self.retention is None else int(self.retention.total_seconds() * 1000)
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(retention_ms),
            "message.timestamp.type": "LogAppendTime",
        }


FINANCE_CHANGES = Topic(
    name="finance.changes",
    holds="events of Dynamics 365 Finance as they came",
    key="row id when known",
    cleanup="delete",
    retention=TWO_FISCAL_YEARS,
)
DATAVERSE_CHANGES = Topic(
    name="dataverse.changes",
    holds="events of Dataverse as they came",
    key="row id when known",
    cleanup="delete",
    retention=TWO_FISCAL_YEARS,
)
COMMANDS = Topic(
    name="commands",
    holds="rows to read again, sync requests, retries, deletions",
    key="subject",
    cleanup="delete",
    # As long as the events with which a replay applies them again.
    retention=TWO_FISCAL_YEARS,
)
POSITIONS = Topic(
    name="positions",
    holds="the position of each document line after each change",
    key="document",
    cleanup="compact",
    retention=None,
)
ERRORS = Topic(
    name="errors",
    holds="errors of Finance's processes, and where each subject stands; the store is the truth",
    key="subject: company/process/subject",
    cleanup="compact,delete",
    retention=TWO_FISCAL_YEARS,
)
STATE = Topic(
    name="state",
    holds="what events do not say: attempts, sync runs, cursors, alerts, decisions; the store is the truth",
    key="kind and subject, as a JSON array",
    cleanup="compact",
    retention=None,
    # One partition, so that records keep their order across all keys.
    partitions=1,
)
REJECTED = Topic(
    name="rejected",
    holds="what could not be understood, with the reason",
    key="original place: topic, partition and offset",
    cleanup="delete",
    retention=timedelta(days=2 * 366),
)

CHANGES = (FINANCE_CHANGES, DATAVERSE_CHANGES)
"""The events of both systems; both have the same number of partitions."""

PROJECTED = (*CHANGES, COMMANDS)
"""The topics that the writer reads. It applies those commands that concern the store."""

TOPICS: Mapping[str, Topic] = {topic.name: topic for topic in (*CHANGES, COMMANDS, POSITIONS, ERRORS, STATE, REJECTED)}
"""All topics by their names without the prefix."""
