"""The event log on Apache Kafka, or on the Kafka endpoint of Azure Event Hubs.

aiokafka's clients read and append, ten times as fast as kafka-python, in a thread with a loop of its own. kafka-python
looks after the topics.

Partitions are read by hand, not by a consumer group. There is one writer for an environment and a lease names it
(`store.lease`), so a group would only add its rebalances, in which nobody reads (docs/decisions/0007).
"""

from streams.kafka.access import Access
from streams.kafka.log import PATIENCE_SECONDS, KafkaLog

__all__ = ["PATIENCE_SECONDS", "Access", "KafkaLog"]
