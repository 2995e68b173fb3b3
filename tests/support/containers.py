"""Apache Kafka and PostgreSQL in containers for tests, each on a fixed port that survives a restart."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from testcontainers.core.container import DockerContainer

KAFKA_IMAGE = os.environ.get("KAFKA_IMAGE", "apache/kafka:4.1.1")
POSTGRES_IMAGE = os.environ.get("POSTGRES_IMAGE", "postgres:15")

START_SECONDS = 60.0

# Their messages about a broker that is still starting are not relevant.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


def free_port() -> int:
    """Return a free port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A container with one port, which keeps its address over restarts."""

    def __init__(self, container: DockerContainer, port: int) -> None:
        self.container = container
        self.port = port

    def restart(self) -> None:
        """Stop it as an administrator would, and start it again."""
        self.container.get_wrapped_container().restart(timeout=20)
        self.wait()

    def stop(self) -> None:
        self.container.get_wrapped_container().stop(timeout=20)

    def start(self) -> None:
        self.container.get_wrapped_container().start()
        self.wait()

    def kill(self) -> None:
        """Simulate a power cut."""
        self.container.get_wrapped_container().kill()

    def pause(self) -> None:
        self.container.get_wrapped_container().pause()

    def resume(self) -> None:
        self.container.get_wrapped_container().unpause()

    def wait(self) -> None:
        """Return once it answers."""
        until(self._answers, START_SECONDS)

    def _answers(self) -> bool:
        raise NotImplementedError


class Broker(Server):
    """Apache Kafka, one node, with a second listener with authentication."""

    user = password = "tieout"

    def __init__(self, container: DockerContainer, port: int, secured_port: int) -> None:
        super().__init__(container, port)
        self.secured_port = secured_port

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        """As `TIEOUT_BROKER` takes it."""
        return f"kafka://{self.address}"

    @property
    def secured_url(self) -> str:
        """The URL of the listener with user and password (SASL PLAIN)."""
        return f"kafka://localhost:{self.secured_port}"

    def _answers(self) -> bool:
        try:
            with closing(KafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=5_000)) as admin:
                admin.list_topics()
        except (KafkaError, ValueError, OSError):
            return False
        return True


class Database(Server):
    """PostgreSQL."""

    user = password = name = "tieout"

    @property
    def url(self) -> str:
        """As `TIEOUT_STORE` takes it."""
        return f"postgresql+psycopg://{self.user}:{self.password}@localhost:{self.port}/{self.name}"

    def connect(self, name: str | None = None) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="localhost",
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=name or self.name,
            autocommit=True,
            connect_timeout=5,
        )

    def create(self, name: str) -> str:
        """Make an empty database; returns its `TIEOUT_STORE`."""
        with closing(self.connect()) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url.rpartition("/")[0] + "/" + name

    def _answers(self) -> bool:
        try:
            with closing(self.connect()) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def broker(**settings: str) -> Iterator[Broker]:
    """Start a broker without topics or automatic creation of topics; `settings` are its own (`KAFKA_…`)."""
    port, secured_port = free_port(), free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port).with_bind_ports(9094, secured_port)
    users = f'username="{Broker.user}" password="{Broker.password}" user_{Broker.user}="{Broker.password}"'
    environment = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        # The broker asks itself about transactions, on a port that it can reach from within.
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093,SECURED://:9094,ITSELF://:9095",
        "KAFKA_ADVERTISED_LISTENERS": (
            f"PLAINTEXT://localhost:{port},SECURED://localhost:{secured_port},ITSELF://localhost:9095"
        ),
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_PLAINTEXT,ITSELF:PLAINTEXT"
        ),
        "KAFKA_INTER_BROKER_LISTENER_NAME": "ITSELF",
        "KAFKA_SASL_ENABLED_MECHANISMS": "PLAIN",
        "KAFKA_LISTENER_NAME_SECURED_PLAIN_SASL_JAAS_CONFIG": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
        ),
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        **settings,
    }
    for name, value in environment.items():
        container.with_env(name, value)
    with _running(container):
        server = Broker(container, port, secured_port)
        server.wait()
        yield server


@contextmanager
def database(*, durable: bool = False) -> Iterator[Database]:
    """Start a database server with one empty database. Unless `durable`, it does not sync to the disk, which matters
    only after a power failure.
    """
    port = free_port()
    # As in docker-compose.yml: the default of Docker is too small for VACUUM and parallel queries.
    container = DockerContainer(POSTGRES_IMAGE, shm_size="256m").with_bind_ports(5432, port)
    if not durable:
        container.with_command("postgres -c fsync=off -c full_page_writes=off")
    for name, value in (("USER", Database.user), ("PASSWORD", Database.password), ("DB", Database.name)):
        container.with_env(f"POSTGRES_{name}", value)
    with _running(container):
        server = Database(container, port)
        server.wait()
        yield server


@contextmanager
def _running(container: DockerContainer) -> Iterator[None]:
    container.start()
    try:
        yield
    finally:
        container.stop()


def until(condition: Callable[[], bool], seconds: float, every: float = 0.1) -> None:
    """Wait for a condition. Raises `TimeoutError`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {seconds} s: {getattr(condition, '__name__', condition)}")
        time.sleep(every)
