"""The topics of a broker, administered with kafka-python, which supports all of their settings."""

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final
from uuid import UUID

from kafka import KafkaAdminClient
from kafka import errors as admin_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from streams.kafka.access import Access, translated
from streams.log import RECORD_BYTES_MAX, TopicMismatch, TopicMissing
from streams.topics import DEFAULT_PREFIX, Topic


class Topics:
    """Creates topics, checks them, and caches the number of partitions of each."""

    def __init__(self, access: Access, patience: float) -> None:
        self._access = access
        self._patience = patience
        self._partitions: dict[str, int] = {}
        self._admin: Any = None
        self._admin_lock = threading.RLock()

    def create(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        """Create the missing topics. Raises `TopicMismatch` with the problems of `check`."""
        if partitions < 1:
            raise ValueError(f"A topic has at least one partition, not {partitions}.")
        with self._administering() as admin:
            existing = self.all()
            for topic in topics:
                if topic.full_name(prefix) in existing:
                    continue
                new = NewTopic(topic.full_name(prefix), topic.parts(partitions), -1, topic_configs=self._config(topic))
                try:
                    admin.create_topics([new], wait_for_metadata=True)
                except admin_errors.TopicAlreadyExistsError:
                    continue  # created by another worker at the same time
            problems = self.check(topics, partitions, prefix=prefix)
        if problems:
            raise TopicMismatch("\n".join(problems))

    def check(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        """Return a sentence for each missing topic and each wrong setting."""
        problems = []
        with self._administering():
            existing = self.all()
            there = [topic for topic in topics if topic.full_name(prefix) in existing]
            configured = self._configured([topic.full_name(prefix) for topic in there])
        for topic in topics:
            name = topic.full_name(prefix)
            number = existing.get(name)
            if number is None:
                problems.append(
                    f"Topic {name} is missing from {self._access.shown}: start a worker, it makes its topics, or check "
                    "the topic prefix."
                )
                continue
            if topic.partitions is not None and number != topic.partitions:
                problems.append(
                    f"Topic {name} has {number} partitions and must have {topic.partitions}, so that its records keep "
                    "their order. Delete it while no worker runs: the next one makes it, and fills it from the store."
                )
            elif number != topic.parts(partitions):
                problems.append(
                    f"Topic {name} has {number} partitions and the settings say {partitions}: keys would change their "
                    f"partition. Set the number of partitions to {number}, or use another prefix."
                )
            for key, required in self._config(topic).items():
                value = configured.get(name, {}).get(key)
                if value is not None and not _fits(key, value, required):
                    problems.append(
                        f"Topic {name} has {key}={value} and needs {key}={required}: {_WHY[key]}. Change it with "
                        f"`kafka-configs.sh --alter --topic {name} --add-config {key}={_quoted(required)}`."
                    )
        return problems

    def all(self) -> Mapping[str, int]:
        """Return the number of partitions of every topic by name."""
        with self._administering() as admin:
            descriptions = admin.describe_topics([name for name in admin.list_topics() if not name.startswith("__")])
        self._partitions = {
            topic["name"]: len(topic["partitions"]) for topic in descriptions if not topic["error_code"]
        }
        return dict(self._partitions)

    def identities(self, topics: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of topics, or the id of the cluster if the broker has none (before Kafka 2.8, Event Hubs)."""
        with self._administering() as admin:
            ids = {topic["name"]: topic.get("topic_id") for topic in admin.describe_topics(list(topics))}
            identities = {name: f"topic:{UUID(str(id_))}" for name, id_ in ids.items() if id_ and UUID(str(id_)).int}
            if len(identities) < len(topics) and (cluster := admin.describe_cluster().get("cluster_id")):
                identities = {topic: identities.get(topic, f"cluster:{cluster}") for topic in topics}
        return identities

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic. Raises `TopicMissing`."""
        if topic not in self._partitions:
            self.all()
        try:
            return self._partitions[topic]
        except KeyError:
            raise TopicMissing(
                f"There is no topic {topic} at {self._access.shown}: check the topic prefix, or start a worker once, "
                "it makes its topics."
            ) from None

    def _config(self, topic: Topic) -> dict[str, str]:
        # Retention and compaction of Event Hubs are set in its portal.
        if self._access.event_hubs:
            return {}
        # Twice the size of an event, because a rejected one is published in base64.
        return {**topic.config(), "max.message.bytes": str(2 * RECORD_BYTES_MAX)}

    def _configured(self, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        if not names or self._access.event_hubs:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, list(_WHY)) for name in names]
        with self._administering() as admin:
            descriptions = admin.describe_configs(resources, config_filter="all")
        return {
            name: {key: entry["value"] for key, entry in entries.items()}
            for name, entries in descriptions["topic"].items()
        }

    @contextmanager
    def _administering(self) -> Iterator[Any]:
        """Return an admin client, shared by nested calls. It is needed rarely, so it is closed afterwards."""
        with self._admin_lock:
            if self._admin is not None:
                yield self._admin
                return
            with warnings.catch_warnings(), translated(self._access):
                warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python's own, at its import of schemas
                options = self._access.options()
                with closing(KafkaAdminClient(**options, bootstrap_timeout_ms=int(self._patience * 1000))) as admin:
                    self._admin = admin
                    try:
                        yield admin
                    finally:
                        self._admin = None

    def check_partition(self, topic: str, partition: int) -> None:
        """Raise `TopicMissing` if the partition does not exist."""
        count = self.partitions(topic)
        if not 0 <= partition < count:
            raise TopicMissing(f"Topic {topic} has partitions 0 to {count - 1}, and no partition {partition}.")


_WHY: Final = {
    "cleanup.policy": "it decides what is kept",
    "retention.ms": "events that are gone cannot be replayed",
    "message.timestamp.type": "by the times of the events old ones would be deleted at once",
    "max.message.bytes": "a large event would be refused",
}


def _fits(key: str, value: str, required: str) -> bool:
    """Return True if the setting of a topic suffices: longer retention and larger records are accepted."""
    if key == "cleanup.policy":
        return set(value.split(",")) == set(required.split(","))
    if key == "retention.ms":
        return int(value) == -1 or (required != "-1" and int(value) >= int(required))
    if key == "max.message.bytes":
        return int(value) >= int(required)
    return value == required


def _quoted(value: str) -> str:
    return f"[{value}]" if "," in value else value
