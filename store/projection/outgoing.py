"""Records to publish through the outbox."""

import msgspec


class Outgoing(msgspec.Struct, frozen=True):
    """A record to publish. `topic` has no prefix; a `value` of None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
