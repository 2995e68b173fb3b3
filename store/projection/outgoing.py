"""What is published: records that wait in the outbox."""

import msgspec


class Outgoing(msgspec.Struct, frozen=True):
    """A record to publish, by the topic's name without prefix; a value of None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
