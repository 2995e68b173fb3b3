"""Shared by every test folder: the `containers` mark, the servers, and log configuration restored after each test.

The `requirement` mark is for tools/requirements_table.py.
"""

import os
import signal
from collections.abc import Iterator
from functools import cache

import docker
import pytest
import structlog
from docker.errors import DockerException
from hypothesis import HealthCheck, settings

from tests.support import containers
from tests.support.containers import Broker, Database
from tests.support.soak import TIMES, examples

# A shell ignores SIGINT and SIGQUIT for what it starts in the background, and programs started by programs inherit
# that. What has a handler here has its default action in a child, so that tests can interrupt what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM))

# The same examples in every run of `make test`, so that one that fails is due to a change; `make soak` draws new ones.
# Other processes may use the machine, so how long an example takes is not significant.
settings.register_profile("any duration", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("any duration"), derandomize=True)
settings.load_profile("repeatable")
if TIMES != 1:
    soaked = settings.get_profile("any duration")
    settings.register_profile("soak", soaked, max_examples=examples(soaked.max_examples))
    settings.load_profile("soak")


@cache
def _why_no_containers() -> str | None:
    try:
        docker.from_env(timeout=10).ping()
    except DockerException as error:
        return f"no container engine answers: {error}"
    return None


@pytest.hookimpl(tryfirst=True)  # before fixtures, which would start a container
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs containers where there is no engine, or fail it where they are required."""
    if item.get_closest_marker("containers") and (reason := _why_no_containers()):
        if os.environ.get("TIEOUT_REQUIRE_CONTAINERS") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """Each test makes topics of its own on it."""
    with containers.broker() as running:
        yield running


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """Each test makes a database of its own on it."""
    with containers.database() as running:
        yield running


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command run by a test sets up logs for its whole process: a later test must not get its level or its form."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
