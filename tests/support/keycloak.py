"""Keycloak in a container for tests, with the realm of docker-compose.yml."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from testcontainers.core.container import DockerContainer

from tests.support.containers import free_port, until

KEYCLOAK_IMAGE = os.environ.get("KEYCLOAK_IMAGE", "quay.io/keycloak/keycloak:26.4.7")
REALM = Path(__file__).resolve().parents[2] / "compose" / "sign-in-realm.json"
SECRET, PASSWORD = "secret-of-the-workspace", "a password of tests"

START_SECONDS = 480.0
"""It compiles itself at its first start, which takes a minute on a busy machine."""


@contextmanager
def keycloak(workspace: str) -> Iterator[str]:
    """Start Keycloak for a workspace at this address; yield the issuer. Its users are `viewer`, `operator` and
    `administrator`.
    """
    port = free_port()
    container = DockerContainer(KEYCLOAK_IMAGE).with_command("start-dev --import-realm").with_bind_ports(port, port)
    container.with_volume_mapping(str(REALM), "/opt/keycloak/data/import/realm.json", "ro")
    environment = {
        "KC_HTTP_PORT": str(port),
        "KC_HOSTNAME": f"http://127.0.0.1:{port}",
        "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx384m",
        "TIEOUT_SIGN_IN_SECRET": SECRET,
        "TIEOUT_WORKSPACE_ADDRESS": workspace,
        "SIGN_IN_PASSWORD": PASSWORD,
    }
    for name, value in environment.items():
        container.with_env(name, value)
    container.start()
    try:
        yield ready_issuer(port)
    finally:
        container.stop()


def ready_issuer(port: int) -> str:
    """Return the issuer of the realm once Keycloak, on a port of this machine, answers."""
    issuer = f"http://127.0.0.1:{port}/realms/tieout"

    def answers() -> bool:
        try:
            return httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    until(answers, START_SECONDS, every=1.0)
    return issuer
