"""The event log on Apache Kafka, or on the Kafka endpoint of Azure Event Hubs.

* `log`: the event log port on Kafka.
* `reading`, `publishing`: fetches partitions on demand, and appends, with aiokafka: ten times as fast as kafka-python.
* `topics`: creates and checks topics with kafka-python.
* `access`: addresses and credentials of the brokers, and the translation of client errors.
* `loop`: the event loop in a thread in which the clients of aiokafka run.

Partitions are assigned manually, without a consumer group. An environment has one writer, which holds the lease
(`store.lease`). A group would only add its rebalances, during which nothing is read (docs/decisions/0007).
"""

from streams.kafka.access import Access
from streams.kafka.log import PATIENCE_SECONDS, KafkaLog

__all__ = ["PATIENCE_SECONDS", "Access", "KafkaLog"]
