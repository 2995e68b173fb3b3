"""The servers that integration tests share; each test gets topics and a database of its own."""

from collections.abc import Iterator

import pytest

from tests.support import containers
from tests.support.containers import Broker, Database


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with containers.broker() as running:
        yield running


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    with containers.database() as running:
        yield running
