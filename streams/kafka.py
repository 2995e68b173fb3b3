"""The event log on Apache Kafka, or on the Kafka endpoint of Azure Event Hubs.

aiokafka reads and appends, ten times as fast as kafka-python, in a thread with a loop of its own: it goes on fetching
while the worker computes. kafka-python looks after the topics.

Partitions are assigned by hand, not by a consumer group. There is one writer for an environment and a lease names it
(`store.lease`), so a group would only add its rebalances, in which nobody reads (docs/decisions/0007).
"""

import asyncio
import itertools
import logging
import ssl
import threading
import warnings
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    ProducerFenced,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from aiokafka.errors import KafkaError as AioKafkaError
from aiokafka.partitioner import murmur2
from kafka import KafkaAdminClient
from kafka import errors as admin_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from streams.log import (
    RECORD_BYTES_MAX,
    LogError,
    LogFailed,
    LogRecord,
    LogRefused,
    NewRecord,
    OffsetOutOfRange,
    Place,
    RecordTooLarge,
    TopicMismatch,
    TopicMissing,
)
from streams.topics import DEFAULT_PREFIX, Topic

T = TypeVar("T")

EVENT_HUBS: Final = ".servicebus.windows.net"
# What Event Hubs asks of its clients: idle connections are closed at 240 s, requests above a megabyte refused, and its
# answers may take their time (domain/events.md §4).
EVENT_HUBS_RECORD_BYTES: Final = 1_000_000
METADATA_SECONDS: Final = 180
IDLE_SECONDS: Final = 180
REQUEST_SECONDS: Final = 30

# A partition's share of a batch, and some of the next.
FETCH_BYTES: Final = 4 * 1024 * 1024
# A fetch that waits at the broker for one partition holds up the next one for another.
FETCH_WAIT_MS: Final = 50
# How often is asked whether what did not arrive yet is a mark only, which never will.
ARRIVAL_MS: Final = 250
APPEND_BYTES: Final = 512 * 1024
# A leader is elected anew, a broker restarts: longer than either takes.
PATIENCE_SECONDS: Final = 30.0
# For saying why nobody answers.
REASON_SECONDS: Final = 5.0
# What a client that is let go of may still want to say.
STOP_SECONDS: Final = 5.0


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Where the brokers are and how they are reached."""

    servers: tuple[str, ...]
    """`host:port` of some of them."""
    tls: bool = False
    ca_file: str | None = None
    """Certificates to trust instead of the system's."""
    user: str | None = None
    """With a password: SASL."""
    password: str | None = None
    mechanism: str = "PLAIN"

    @property
    def event_hubs(self) -> bool:
        """Whether this is Azure Event Hubs."""
        return any(server.rpartition(":")[0].endswith(EVENT_HUBS) for server in self.servers)

    @property
    def shown(self) -> str:
        """The brokers, for messages."""
        return ",".join(self.servers)

    def options(self) -> dict[str, Any]:
        """The options that both clients have in common. Raises `LogRefused` for certificates that cannot be read."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "client_id": "tieout",
            "security_protocol": f"{'SASL_' if self.user else ''}{'SSL' if self.tls else 'PLAINTEXT'}",
            "metadata_max_age_ms": METADATA_SECONDS * 1000,
            "connections_max_idle_ms": IDLE_SECONDS * 1000,
            "request_timeout_ms": REQUEST_SECONDS * 1000,
        }
        if self.user:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        if self.tls:
            try:
                options["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:
                raise LogRefused(
                    f"the certificates {self.ca_file} (TIEOUT_BROKER_CA) cannot be read: {error}."
                ) from None
        return options


class KafkaLog:
    """An `EventLog` on Kafka. Clients are made when they are first needed, and kept.

    With a `publisher`, a name that several processes may share, appends are transactions, and the last of these
    processes to begin shuts the others out: one that was stopped in the middle of an append and wakes later cannot put
    old values after the new ones. Event Hubs has no such transactions.
    """

    def __init__(
        self,
        access: Access,
        *,
        publisher: str | None = None,
        record_bytes_max: int = RECORD_BYTES_MAX,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._access = access
        self._publisher = None if access.event_hubs else publisher
        self._patience = patience_seconds
        self._record_bytes_max = (
            min(record_bytes_max, EVENT_HUBS_RECORD_BYTES) if access.event_hubs else record_bytes_max
        )
        # What they say about a broker that does not answer is said by the errors, once.
        for name in ("aiokafka", "kafka"):
            if (logger := logging.getLogger(name)).level == logging.NOTSET:
                logger.setLevel(logging.CRITICAL)
        self._loop = _Loop()
        self._partitions: dict[str, int] = {}
        self._keyless = itertools.count()
        # A broker answers the questions of one connection in turn, and a fetch may wait there for events to come: other
        # questions have a connection of their own.
        self._asker: AIOKafkaConsumer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._assigned: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        # The last known ends; there may be more by now.
        self._ends: dict[TopicPartition, int] = {}
        # Offsets at the end of a partition that hold no records, from and to: marks of transactions.
        self._void: dict[TopicPartition, tuple[int, int]] = {}
        self._using = threading.Lock()
        self._admin: Any = None
        self._administrating = threading.RLock()

    # --- topics ------------------------------------------------------------------------------------------------------

    def create_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        if partitions < 1:
            raise ValueError(f"A topic has at least one partition, not {partitions}.")
        with self._administering() as admin:
            existing = self.topics()
            for topic in topics:
                if topic.full_name(prefix) in existing:
                    continue
                made = NewTopic(topic.full_name(prefix), partitions, -1, topic_configs=self._config(topic))
                try:
                    admin.create_topics([made], wait_for_metadata=True)
                except admin_errors.TopicAlreadyExistsError:
                    continue  # by another worker, at the same time
            problems = self.check_topics(topics, partitions, prefix=prefix)
        if problems:
            raise TopicMismatch("\n".join(problems))

    def check_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        problems = []
        with self._administering():
            existing = self.topics()
            there = [topic for topic in topics if topic.full_name(prefix) in existing]
            configured = self._configured([topic.full_name(prefix) for topic in there])
        for topic in topics:
            name = topic.full_name(prefix)
            found = existing.get(name)
            if found is None:
                problems.append(
                    f"Topic {name} is missing from {self._access.shown}: start a worker, it makes its topics, or check "
                    "the topic prefix."
                )
                continue
            if found != partitions:
                problems.append(
                    f"Topic {name} has {found} partitions and the settings say {partitions}: keys would change their "
                    f"partition. Set the number of partitions to {found}, or use another prefix."
                )
            for key, wanted in self._config(topic).items():
                has = configured.get(name, {}).get(key)
                if has is not None and not _fits(key, has, wanted):
                    problems.append(
                        f"Topic {name} has {key}={has} and needs {key}={wanted}: {_WHY[key]}. Change it with "
                        f"`kafka-configs.sh --alter --topic {name} --add-config {key}={_quoted(wanted)}`."
                    )
        return problems

    def topics(self) -> Mapping[str, int]:
        with self._administering() as admin:
            found = admin.describe_topics([name for name in admin.list_topics() if not name.startswith("__")])
        self._partitions = {topic["name"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}
        return dict(self._partitions)

    def partitions(self, topic: str) -> int:
        if topic not in self._partitions:
            self.topics()
        try:
            return self._partitions[topic]
        except KeyError:
            raise TopicMissing(
                f"There is no topic {topic} at {self._access.shown}: check the topic prefix, or start a worker once, "
                "it makes its topics."
            ) from None

    def _config(self, topic: Topic) -> dict[str, str]:
        # Event Hubs has retention and compaction of its own, set in its portal.
        if self._access.event_hubs:
            return {}
        # Twice the size of an event: a rejected one is published with its bytes in base64.
        return {**topic.config(), "max.message.bytes": str(2 * RECORD_BYTES_MAX)}

    def _configured(self, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        if not names or self._access.event_hubs:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, list(_WHY)) for name in names]
        with self._administering() as admin:
            found = admin.describe_configs(resources, config_filter="all")
        return {
            name: {key: entry["value"] for key, entry in entries.items()} for name, entries in found["topic"].items()
        }

    @contextmanager
    def _administering(self) -> Iterator[Any]:
        """A client for topics, the same for all that is asked within: seldom needed, so it is not kept."""
        with self._administrating:
            if self._admin is not None:
                yield self._admin
                return
            with warnings.catch_warnings(), _translated(self._access):
                warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python's own, at its import of schemas
                options = self._access.options()
                with closing(KafkaAdminClient(**options, bootstrap_timeout_ms=int(self._patience * 1000))) as admin:
                    self._admin = admin
                    try:
                        yield admin
                    finally:
                        self._admin = None

    # --- records -----------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        # Everything that can be known beforehand is asked before the first record goes out.
        placed = [(record, self._partition(record)) for record in records]
        for record in records:
            self._check_size(record)
        return self._run(self._append(placed))

    def begin_publishing(self) -> None:
        self._run(self._appending())

    def read(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        self._check_place(topic, partition)
        if offset < 0:
            raise self._out_of_range(topic, partition, offset)
        try:
            with self._using:
                return self._run(self._read(TopicPartition(topic, partition), offset, max_records, max_bytes))
        except OffsetOutOfRange:
            raise self._out_of_range(topic, partition, offset) from None

    def start_offset(self, topic: str, partition: int) -> int:
        self._check_place(topic, partition)
        place = TopicPartition(topic, partition)
        return int(self._run(self._ask("beginning_offsets", [place]))[place])

    def end_offset(self, topic: str, partition: int) -> int:
        return self.ends([(topic, partition)])[topic, partition]

    def ends(self, places: Sequence[Place]) -> Mapping[Place, int]:
        for place in places:
            self._check_place(*place)
        found = self._run(self._ask("end_offsets", [TopicPartition(*place) for place in places])) if places else {}
        self._ends.update(found)
        return {(place.topic, place.partition): self._last(place, int(offset)) for place, offset in found.items()}

    def _last(self, place: TopicPartition, end: int) -> int:
        """Where the last record ends, as far as is known: Kafka counts the marks after it."""
        start, until = self._void.get(place, (end, end))
        return start if until == end else end

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        self._check_place(topic, partition)
        place = TopicPartition(topic, partition)
        found = self._run(self._ask("offsets_for_times", {place: max(timestamp_ms, 0)}))[place]
        return self.end_offset(topic, partition) if found is None else int(found.offset)

    def close(self) -> None:
        self._loop.close(self._stop())

    async def _stop(self) -> None:
        for client in (self._asker, self._consumer, self._producer):
            if client is not None:
                # A producer would wait for a broker that is away, for ever.
                with suppress(TimeoutError, AioKafkaError):
                    await asyncio.wait_for(client.stop(), STOP_SECONDS)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with _translated(self._access):
            return self._loop.run(work)

    def _partition(self, record: NewRecord) -> int:
        count = self.partitions(record.topic)
        if record.partition is not None:
            self._check_place(record.topic, record.partition)
            return record.partition
        if count == 1:
            return 0
        # As every other producer has it, so that a row's events stay together whoever sends them.
        return (next(self._keyless) if record.key is None else murmur2(record.key) & 0x7FFFFFFF) % count

    def _check_size(self, record: NewRecord) -> None:
        size = len(record.key or b"") + len(record.value or b"")
        size += sum(len(name) + len(value) for name, value in record.headers)
        if size > self._record_bytes_max:
            raise RecordTooLarge(
                f"A record for {record.topic} has {size:,} bytes and the event log takes {self._record_bytes_max:,}: "
                "send less in one event."
            )

    def _check_place(self, topic: str, partition: int) -> None:
        count = self.partitions(topic)
        if not 0 <= partition < count:
            raise TopicMissing(f"Topic {topic} has partitions 0 to {count - 1}, and no partition {partition}.")

    def _out_of_range(self, topic: str, partition: int, offset: int) -> OffsetOutOfRange:
        start, end = self.start_offset(topic, partition), self.end_offset(topic, partition)
        return OffsetOutOfRange(
            f"{topic}, partition {partition} at {self._access.shown} has the offsets {start} up to {end}, and {offset} "
            "was asked for: is this the broker that was read before, and did it keep its events long enough?"
        )

    # What runs in the loop.

    async def _append(self, placed: Sequence[tuple[NewRecord, int]]) -> list[tuple[int, int]]:
        if not placed:
            return []
        producer = await self._appending()
        if self._publisher is not None:
            await producer.begin_transaction()
        try:
            # The client itself would try for ever, so that nobody could tell a worker to stop.
            async with asyncio.timeout(self._patience):
                sent = await self._send(producer, placed)
                firsts = [(await acknowledged).offset for _, _, acknowledged in sent]
                # One that fails is left as it is: the next of its name, by whichever process, ends it.
                if self._publisher is not None:
                    await producer.commit_transaction()
        except TimeoutError:
            raise LogFailed(
                f"Kafka at {self._access.shown} did not acknowledge within {self._patience:.0f} s what was appended: "
                "is it away, or does it not reach itself (inter.broker.listener.name)?"
            ) from None
        places: list[tuple[int, int]] = [(0, 0)] * len(placed)
        for (place, members, _), first in zip(sent, firsts, strict=True):
            for index, number in enumerate(members):
                places[number] = (place.partition, first + index)
        return places

    async def _send(
        self, producer: AIOKafkaProducer, placed: Sequence[tuple[NewRecord, int]]
    ) -> list[tuple[TopicPartition, list[int], Any]]:
        """Hand records to the client in batches: the place of each, the numbers of its records, its acknowledgement."""
        order: dict[TopicPartition, list[int]] = {}
        for number, (record, partition) in enumerate(placed):
            order.setdefault(TopicPartition(record.topic, partition), []).append(number)
        sent = []
        for place, numbers in order.items():
            batch = producer.create_batch()
            members: list[int] = []
            for number in numbers:
                record = placed[number][0]
                if not _added(batch, record):
                    sent.append(
                        (place, members, await producer.send_batch(batch, place.topic, partition=place.partition))
                    )
                    batch, members = producer.create_batch(), []
                    _added(batch, record)
                members.append(number)
            sent.append((place, members, await producer.send_batch(batch, place.topic, partition=place.partition)))
        return sent

    async def _read(self, place: TopicPartition, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        end = self._ends.get(place, 0)
        if offset >= end:
            end = self._ends[place] = int((await self._ask("end_offsets", [place]))[place])
        if offset > end:
            raise OffsetOutOfRange(offset)
        consumer = await self._at(place, offset)
        records: list[LogRecord] = []
        held = 0
        waited = 0.0
        reached = offset
        # What is known to be there is waited for: a document whose events come in one batch is decided once.
        while reached < end and len(records) < max_records and held < max_bytes:
            try:
                found = await consumer.getmany(
                    place, timeout_ms=ARRIVAL_MS, max_records=min(max_records - len(records), 1_000)
                )
            except OffsetOutOfRangeError:
                raise OffsetOutOfRange(offset) from None
            for item in found.get(place, ()):
                held += len(item.key or b"") + len(item.value or b"")
                records.append(
                    LogRecord(
                        place.topic, place.partition, item.offset, item.timestamp, item.key, item.value, item.headers
                    )
                )
                if held >= max_bytes:
                    break
            if found:
                reached = records[-1].offset + 1
            elif (reached := await consumer.position(place)) >= end:
                self._void[place] = (records[-1].offset + 1 if records else offset, reached)
            elif (waited := waited + ARRIVAL_MS / 1000) >= self._patience:
                raise LogFailed(
                    f"{place.topic}, partition {place.partition} at {self._access.shown} gave nothing for "
                    f"{self._patience:.0f} s although there is something: look at the broker's log."
                )
        if records:
            self._next[place] = records[-1].offset + 1
            if held >= max_bytes:
                del self._next[place]  # what was fetched beyond is fetched again
        return records

    async def _at(self, place: TopicPartition, offset: int) -> AIOKafkaConsumer:
        """The consumer, about to read from an offset."""
        consumer = await self._reading()
        if place not in self._assigned:
            self._assigned.add(place)
            # Makes all positions anew.
            consumer.assign(list(self._assigned))
            for other, position in self._next.items():
                consumer.seek(other, position)
        if self._next.get(place) != offset:
            consumer.seek(place, offset)
            self._next[place] = offset
        return consumer

    async def _ask(self, question: str, places: Any) -> Mapping[TopicPartition, Any]:
        if self._asker is None:
            self._asker = await self._new_consumer()
        answer: Mapping[TopicPartition, Any] = await getattr(self._asker, question)(places)
        return answer

    async def _reading(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await self._new_consumer()
        return self._consumer

    async def _new_consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._access.options(),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        await _started(consumer, self._patience)
        return consumer

    async def _appending(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._access.options(),
                transactional_id=self._publisher,
                enable_idempotence=not self._access.event_hubs,
                acks="all",
                max_batch_size=APPEND_BYTES,
                max_request_size=EVENT_HUBS_RECORD_BYTES if self._access.event_hubs else 2 * RECORD_BYTES_MAX,
            )
            await _started(producer, self._patience)
            self._producer = producer
        return self._producer


def _added(batch: Any, record: NewRecord) -> bool:
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
    return added is not None


async def _started(client: Any, seconds: float) -> None:
    """Start a client; one that could not start is let go of, or it would complain later."""
    try:
        await asyncio.wait_for(client.start(), seconds)
    except BaseException:
        await client.stop()
        raise


_WHY: Final = {
    "cleanup.policy": "it decides what is kept",
    "retention.ms": "events that are gone cannot be replayed",
    "message.timestamp.type": "by the times of the events old ones would be deleted at once",
    "max.message.bytes": "a large event would be refused",
}


def _fits(key: str, has: str, wanted: str) -> bool:
    """Whether a topic's setting will do: to keep more, or to take larger records, is no fault."""
    if key == "cleanup.policy":
        return set(has.split(",")) == set(wanted.split(","))
    if key == "retention.ms":
        return int(has) == -1 or (wanted != "-1" and int(has) >= int(wanted))
    if key == "max.message.bytes":
        return int(has) >= int(wanted)
    return has == wanted


def _quoted(value: str) -> str:
    return f"[{value}]" if "," in value else value


_REFUSED: Final = (AuthenticationFailedError, SaslAuthenticationFailed, admin_errors.SaslAuthenticationFailedError)
_UNREACHABLE: Final = (admin_errors.KafkaConnectionError, admin_errors.KafkaTimeoutError)


@contextmanager
def _translated(access: Access) -> Iterator[None]:
    """Raise both clients' errors as ours, with what to do."""
    try:
        yield
    except LogError:
        raise
    except _REFUSED as error:
        raise _refused(access, error) from None
    except (TopicAuthorizationFailedError, admin_errors.TopicAuthorizationFailedError) as error:
        raise LogRefused(
            f"{access.shown} does not permit this ({_said(error)}): the user needs rights on it."
        ) from None
    except ProducerFenced:
        raise LogFailed("another worker publishes now; nothing of this one comes after it.") from None
    except (MessageSizeTooLargeError, admin_errors.MessageSizeTooLargeError) as error:
        raise RecordTooLarge(
            f"{access.shown} refuses a record as too large ({_said(error)}): raise max.message.bytes of the topic."
        ) from None
    except (KafkaConnectionError, TimeoutError, *_UNREACHABLE) as error:
        reason = _reason(access) or error
        if isinstance(reason, _REFUSED):
            raise _refused(access, reason) from None
        raise LogFailed(
            f"Kafka at {access.shown} does not answer ({_said(reason)}): check TIEOUT_BROKER, that the broker runs, "
            "and TIEOUT_BROKER_TLS."
        ) from None
    except (AioKafkaError, admin_errors.KafkaError, OSError) as error:
        raise LogFailed(f"Kafka at {access.shown} failed: {_said(error)}. It is tried again.") from None


def _refused(access: Access, error: BaseException) -> LogRefused:
    return LogRefused(
        f"{access.shown} refuses the credentials ({_said(error)}): check TIEOUT_BROKER_USER, TIEOUT_BROKER_PASSWORD "
        "and TIEOUT_BROKER_MECHANISM."
    )


def _reason(access: Access) -> BaseException | None:
    """What is in the way of a connection to the first of the brokers, None if nothing is.

    Both clients keep it to themselves: all they say of a wrong password is that they could not reach any broker.
    """

    async def connect() -> BaseException | None:
        host, _, port = access.servers[0].rpartition(":")
        options = access.options()
        del options["bootstrap_servers"], options["metadata_max_age_ms"], options["connections_max_idle_ms"]
        try:
            connection = await asyncio.wait_for(create_conn(host, int(port), **options), REASON_SECONDS)
        except (AioKafkaError, OSError) as error:
            return error
        connection.close()
        return None

    loop = _Loop()
    try:
        return loop.run(connect())
    finally:
        loop.close(asyncio.sleep(0))


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


class _Loop:
    """An event loop in a thread of its own, for a client that goes on working between two calls."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # A client that failed leaves futures behind whose errors nobody looks at: they were raised already.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise LogFailed("The event log is closed.")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run `last` and end. A second call does nothing."""
        if self._loop.is_closed():
            last.close()
            return
        self.run(last)
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    """End what a client left behind that could not stop in time."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=STOP_SECONDS)
