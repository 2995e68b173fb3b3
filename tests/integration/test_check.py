"""`tieout check` and `tieout migrate` on a real broker and a real database: each wrong address is reported with the
remedy within seconds.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from testcontainers.core.container import DockerContainer

from store.lease import Lease
from store.schema.database import connect
from streams.kafka import Access, KafkaLog
from streams.log import LogFailed
from tests.support.containers import KAFKA_IMAGE, Broker, Database, free_port, until
from tieout.cli import main
from tieout.simulator import ingest_lines, simulate

pytestmark = pytest.mark.containers

SECONDS = 30.0
"""A person waits for all of it, when everything is away."""


class Place:
    """An installation of its own on the shared servers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], **settings: str) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self.set(**settings)

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self._monkeypatch.setenv(f"TIEOUT_{name.upper()}", value)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = self._capfd.readouterr()
        return code, out, err

    def checks(self) -> dict[str, Any]:
        """Return the results of `tieout check` by check; only the faults if there are any."""
        start = time.monotonic()
        code, out, err = self.run("check", "--json")
        assert time.monotonic() - start < SECONDS
        told = json.loads(out)
        assert code == (0 if told["ok"] else 1), err
        return {line["check"]: line["says"] for line in told["checks"] if told["ok"] or line["ok"] is False}


@pytest.fixture
def place(
    broker: Broker,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Place:
    monkeypatch.chdir(tmp_path)
    store = database.create("checked")
    return Place(monkeypatch, capfd, broker=broker.url, store=store, prefix=tmp_path.name, partitions="3")


@pytest.fixture
def filled(place: Place, tmp_path: Path) -> Place:
    """One with the small company's events applied."""
    company = simulate("small", 1)
    place.set(today=str(company.today), companies=",".join(company.companies))
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(ingest_lines(company.events)))
    assert place.run("migrate")[0] == 0
    assert place.run("ingest", str(file))[0] == 0
    assert place.run("run", "--until-caught-up")[0] == 0
    return place


@pytest.fixture
def writer(place: Place, database: Database) -> Iterator[Lease]:
    """The right to write, as a worker holds it."""
    engine = connect(database.url.rpartition("/")[0] + "/checked", write=True)
    lease = Lease(engine, "somebody/1")
    yield lease
    engine.dispose()


@pytest.mark.requirement("R73", "R81", "R82")
def test_what_is_as_it_must_be_is_ok(filled: Place, writer: Lease) -> None:
    told = filled.checks()
    assert list(told) == ["writer"]
    assert "no worker holds the lease" in told["writer"]
    assert writer.acquire()
    with writer.kept_alive():
        told = filled.checks()
    assert "somebody/1 has held the lease for" in told["writer"]
    assert "9 partitions" in told["offsets"]
    assert told["lag"] == "all events are applied"
    assert "last 20 events" in told["effects"]


@pytest.mark.requirement("R73", "R74")
def test_migrate_makes_store_and_topics_once(place: Place) -> None:
    code, out, _ = place.run("migrate")
    assert code == 0
    assert re.search(r"created with schema \d{4}\b", out)
    assert out.count("created with 3 partitions") == 6
    code, out, _ = place.run("migrate")
    assert (code, out.count("up to date")) == (0, 8)


def test_an_empty_store_and_missing_topics_are_named(place: Place) -> None:
    told = place.checks()
    assert "is missing from" in told["topics"]
    assert "is empty: `tieout migrate`" in told["store"]


@pytest.mark.requirement("R73")
def test_a_wrong_partition_count_and_a_wrong_policy_are_named(place: Place, broker: Broker, tmp_path: Path) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.create_topics([NewTopic(f"{tmp_path.name}.positions", 5, 1, topic_configs={"cleanup.policy": "delete"})])
    code, _, err = place.run("migrate", "--wait", "0")
    assert code == 1
    for said in (err, json.dumps(json.loads(place.run("check", "--json")[1]))):
        assert "has 5 partitions and the settings say 3" in said
        assert "has cleanup.policy=delete and needs cleanup.policy=compact" in said


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_a_broker_that_is_away_is_named(place: Place, command: str) -> None:
    place.set(broker=f"kafka://localhost:{free_port()}")
    if command == "check":
        assert "does not answer" in place.checks()["broker"]
    else:
        code, _, err = place.run("migrate", "--wait", "1")
        assert (code, "check TIEOUT_BROKER" in err) == (1, True)


def test_a_server_that_is_no_broker_is_named(place: Place, database: Database) -> None:
    place.set(broker=f"kafka://localhost:{database.port}")
    assert "check TIEOUT_BROKER" in place.checks()["broker"]


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("postgresql+psycopg://tieout:wrong@localhost:{port}/tieout", "check user and password in TIEOUT_STORE"),
        ("postgresql+psycopg://nobody:wrong@localhost:{port}/tieout", "check user and password in TIEOUT_STORE"),
        ("postgresql+psycopg://tieout:tieout@localhost:{port}/nowhere", "make the database (CREATE DATABASE)"),
        ("postgresql+psycopg://tieout:tieout@localhost:{free}/tieout", "does not answer"),
        ("postgresql+psycopg://tieout:tieout@no-such-host.invalid/tieout", "does not answer"),
        ("postgresql+psycopg://tieout:tieout@localhost:{kafka}/tieout", "check TIEOUT_STORE"),
    ],
)
def test_a_store_that_cannot_be_reached_is_named_without_its_password(
    place: Place, broker: Broker, database: Database, store: str, says: str
) -> None:
    place.set(store=store.format(port=database.port, free=free_port(), kafka=broker.port))
    told = place.checks()["store"]
    assert says in told
    assert "wrong@" not in told
    assert "tieout:tieout" not in told


@pytest.mark.requirement("R74")
def test_a_store_of_another_version_is_named(filled: Place, database: Database) -> None:
    with closing(database.connect("checked")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "which is newer than this version of tieout knows" in filled.checks()["store"]
    code, _, err = filled.run("migrate", "--wait", "0")
    assert (code, "Use the newer version" in err) == (1, True)


@pytest.mark.requirement("R82")
def test_a_store_that_does_not_fit_its_topics_is_noticed(filled: Place, database: Database) -> None:
    with closing(database.connect("checked")) as connection:
        connection.execute("UPDATE totals SET sums = '9' || sums WHERE kind = 'expense'")
        connection.execute("DELETE FROM records")
        assert set(filled.checks()) == {"tiles", "effects", "writer"}
        connection.execute("UPDATE offsets SET next = 100000")
        assert set(filled.checks()) == {"tiles", "offsets", "writer"}


def test_users_with_no_more_rights_than_the_page_gives_them_are_enough(
    place: Place, database: Database, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    roles, rights = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    database.create("tieout_prod")
    with closing(database.connect()) as connection:
        connection.execute("DROP DATABASE tieout_prod")
        for statement in roles.split(";"):
            connection.execute(statement.encode())
    with closing(database.connect("tieout_prod")) as connection:
        connection.execute(rights.encode())

    def as_user(user: str, password: str) -> None:
        place.set(store=f"postgresql+psycopg://{user}:{password}@localhost:{database.port}/tieout_prod")

    company = simulate("small", 1)
    place.set(today=str(company.today), companies=",".join(company.companies))
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(ingest_lines(company.events)))
    as_user("tieout_worker", "second")
    code, _, err = place.run("migrate", "--wait", "0")
    assert (code, "denies its user access" in err) == (1, True)
    as_user("tieout_owner", "first")
    assert place.run("migrate")[0] == 0
    as_user("tieout_worker", "second")
    assert place.run("ingest", str(file))[0] == 0
    assert place.run("run", "--until-caught-up")[0] == 0
    as_user("tieout_reader", "third")
    assert place.run("summary", "--company", "USPM")[0] == 0
    assert list(place.checks()) == ["writer"]


@pytest.fixture
def guarded_broker() -> Iterator[str]:
    """The address of a broker that asks for user and password."""
    port = free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "SASL_PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"SASL_PLAINTEXT://localhost:{port}",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "SASL_PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SASL_ENABLED_MECHANISMS": "PLAIN",
        "KAFKA_SASL_MECHANISM_INTER_BROKER_PROTOCOL": "PLAIN",
        "KAFKA_LISTENER_NAME_SASL__PLAINTEXT_PLAIN_SASL_JAAS_CONFIG": (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            'username="admin" password="admin" user_admin="admin" user_tieout="right";'
        ),
    }
    for name, value in settings.items():
        container.with_env(name, value)
    with container:
        with closing(KafkaLog(access("right", port), patience_seconds=60)) as log:
            until(lambda: _answers(log), 60)
        yield f"localhost:{port}"


def access(password: str, port: int) -> Access:
    return Access(servers=(f"localhost:{port}",), user="tieout", password=password)


def _answers(log: KafkaLog) -> bool:
    try:
        log.topics()
    except LogFailed:
        return False
    return True


@pytest.mark.requirement("R81")
def test_credentials_that_a_broker_refuses_are_named_at_once(place: Place, guarded_broker: str) -> None:
    place.set(broker=f"kafka://{guarded_broker}", broker_user="tieout", broker_password="right")
    assert place.run("migrate")[0] == 0
    place.set(broker_password="wrong")
    assert "refuses the credentials" in place.checks()["broker"]
    start = time.monotonic()
    code, _, err = place.run("migrate")
    assert (code, "check TIEOUT_BROKER_USER" in err) == (1, True)
    assert time.monotonic() - start < SECONDS
