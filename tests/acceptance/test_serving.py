"""The workspace as `tieout demo` and `tieout run` serve it: on this machine, until a signal stops it."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.acceptance.test_readme import README, blocks
from tests.support.containers import free_port
from tests.support.identity_provider import CLIENT_ID, SECRET, identity_provider
from tests.support.people import Person
from tests.support.workspace import project, settings_in
from tieout.simulator import ingest_lines, simulate
from tieout.workspace.server import PORT

ADDRESS = re.compile(rb"http://127\.0\.0\.1:\d+/")


@contextmanager
def running(*arguments: str, folder: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command in a process of its own, without a terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    command = [sys.executable, "-m", "tieout", *arguments]
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said_until_served(process: "subprocess.Popen[bytes]") -> list[bytes]:
    """Return the standard error of a command up to the line with the address of the workspace."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if ADDRESS.search(line):
            return said
    raise AssertionError(said)


@contextmanager
def started(*arguments: str, folder: Path, **environment: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Run a command that serves within the block; yield the process and the address that it prints."""
    with running(*arguments, folder=folder, **environment) as process:
        found = ADDRESS.search(said_until_served(process)[-1])
        assert found is not None
        yield process, found[0].decode()


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    """The environment of the small company's store."""
    settings = settings_in(tmp_path)
    project(settings, list(ingest_lines(simulate("small", 1).events)))
    return {
        "TIEOUT_BROKER": settings.broker,
        "TIEOUT_STORE": settings.store,
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
    }


@pytest.mark.requirement("R80")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_without_a_terminal_serves_its_workspace_until_it_is_told_to_stop(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started("demo", folder=tmp_path) as (process, address):
        assert "9,000.00" in httpx.get(address, follow_redirects=True).text
        process.send_signal(number)
        assert process.wait(20) == 0


def test_a_demonstration_takes_another_port_where_the_usual_one_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # the port is in use
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        with running("demo", folder=tmp_path) as process:
            said = b"".join(said_until_served(process)).decode()
    assert f"Port {PORT} is in use. The workspace uses another port.\n" in said
    assert f":{PORT}/" not in said


def test_the_file_that_reaches_a_demonstrations_systems_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / ".tieout" / "demo" / "demo.env"
    file.parent.mkdir(parents=True)
    file.write_text("that of an earlier version, which everybody may read")
    file.chmod(0o644)
    with started("demo", "--port", "0", folder=tmp_path):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "export TIEOUT_SYNC_POSTS=true\n" in file.read_text()


@pytest.mark.requirement("R40", "R80")
def test_sync_beside_the_demonstration_does_all_that_is_not_a_persons(tmp_path: Path) -> None:
    """As README.md shows it, in two terminals."""
    with started("demo", "--port", "0", folder=tmp_path):
        (typed,) = [block for block in blocks(README, "sh") if "demo.env" in block]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
        environment = kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-ec", typed], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stderr
    # It holds the secret of the simulated pair, as a real one would hold a real one.
    assert (tmp_path / ".tieout" / "demo" / "demo.env").stat().st_mode & 0o777 == 0o600
    said = re.sub(r" +", " ", done.stdout)
    assert "40 documents done, 0 documents not done." in said
    assert "Expense missing actuals 1,000.00 10 documents" in said
    assert "Expense missing journal lines 7,200.00 37 documents" in said
    assert "Vendor invoice missing actuals 0.00 0 documents" in said
    readme = " ".join(README.split())
    assert "40 documents are sent again, imported or posted. Of the 4,000.00 above, 3,000.00 clear" in readme
    assert "*Expense missing actuals* is then 1,000.00." in readme
    assert "*Expense missing journal lines* is then 7,200.00" in readme


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_role_workspace_serves_and_ends_quietly(
    tmp_path: Path, store: dict[str, str], number: signal.Signals
) -> None:
    with started("run", "--role", "workspace", "--port", "0", folder=tmp_path, **store) as (process, address):
        assert "28,000.00" in httpx.get(f"{address}USPM").text
        process.send_signal(number)
        assert process.wait(20) == 0


@pytest.mark.requirement("R80")
def test_a_worker_of_all_roles_serves_what_it_projects(tmp_path: Path, store: dict[str, str]) -> None:
    with started("run", "--port", "0", folder=tmp_path, **store) as (process, address):
        assert "4,000.00" in httpx.get(f"{address}USPM/expense").text
        assert process.stderr is not None
        # Only then does the worker see to signals.
        next(line for line in process.stderr if b"worker_started" in line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.requirement("R36")
def test_a_record_leads_to_its_form_where_the_settings_say_where_its_system_is(
    tmp_path: Path, store: dict[str, str]
) -> None:
    places = {
        "TIEOUT_FINANCE": "https://contoso.operations.dynamics.com",
        "TIEOUT_DATAVERSE": "https://org.crm4.dynamics.com",
    }
    secrets = {"TIEOUT_TENANT": "contoso", "TIEOUT_CLIENT_ID": "tieout", "TIEOUT_CLIENT_SECRET": "unsaid"}
    role = ("run", "--role", "workspace", "--port", "0")
    with started(*role, folder=tmp_path, **store, **places, **secrets) as (_, address):
        page = httpx.get(f"{address}USPM/document/USPM-PT000487").text
    assert re.search(
        r'href="https://org.crm4.dynamics.com/main.aspx\?pagetype=entityrecord&amp;etn=msdyn_expense&amp;id=[-0-9a-f]{36}"',
        page,
    )
    assert re.search(
        r'href="https://contoso.operations.dynamics.com/\?mi=action:McpDeepLinkNavigator&amp;tableName=TrvExpTrans&amp;'
        r'filters=%5B%7B%22f%22%3A%22RecId%22%2C%22op%22%3A%22Is%22%2C%22v%22%3A%22\d+%22%7D%5D&amp;cmp=USPM"',
        page,
    )
    assert "Open in Finance" in page
    assert "unsaid" not in page
    with started(*role, folder=tmp_path, **store, **places, **secrets, TIEOUT_FINANCE_LINKS="table") as (_, address):
        page = httpx.get(f"{address}USPM/document/USPM-PT000487").text
    assert "https://contoso.operations.dynamics.com/?mi=SysTableBrowser&amp;TableName=TrvExpTrans&amp;cmp=USPM" in page
    assert "Open table in Finance (system administrators only)" in page
    with started(*role, folder=tmp_path, **store) as (_, address):
        assert "main.aspx" not in httpx.get(f"{address}USPM/document/USPM-PT000487").text


def test_a_port_that_is_taken_is_named(tmp_path: Path, store: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
        command = [sys.executable, "-m", "tieout", "run", "--role", "workspace", "--port", str(port)]
        done = subprocess.run(command, cwd=tmp_path, env={**kept, **store}, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"cannot be served on port {port}" in done.stderr
    assert "choose another with --port" in done.stderr


def test_only_this_machine_is_served(tmp_path: Path, store: dict[str, str]) -> None:
    with started("run", "--role", "workspace", "--port", "0", folder=tmp_path, **store) as (_, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.socket() as elsewhere:
            # Another address of this machine, as another machine would see it.
            elsewhere.settimeout(2)
            assert elsewhere.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.requirement("R83")
@pytest.mark.parametrize("role", [("--role", "workspace"), ()])
def test_another_address_is_refused_without_sign_in_before_anything_starts(
    tmp_path: Path, store: dict[str, str], role: tuple[str, ...]
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    command = [sys.executable, "-m", "tieout", "run", *role, "--host", "0.0.0.0", "--port", "0"]  # noqa: S104
    done = subprocess.run(command, cwd=tmp_path, env={**kept, **store}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "there is no sign-in. Set TIEOUT_ISSUER (docs/security.md), or leave out --host" in done.stderr
    # The variable that permitted it is none any more.
    store["TIEOUT_EXPOSE_WITHOUT_SIGN_IN"] = "0.0.0.0"  # noqa: S104
    done = subprocess.run(command, cwd=tmp_path, env={**kept, **store}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "there is no sign-in" in done.stderr) == (1, True)


@pytest.mark.requirement("R83")
def test_with_sign_in_another_address_is_served_and_the_address_of_the_settings_printed(
    tmp_path: Path, store: dict[str, str]
) -> None:
    with identity_provider() as provider:
        settings = {
            "TIEOUT_ISSUER": provider.issuer,
            "TIEOUT_SIGN_IN_CLIENT_ID": CLIENT_ID,
            "TIEOUT_SIGN_IN_SECRET": SECRET,
            "TIEOUT_WORKSPACE_ADDRESS": f"http://127.0.0.1:{(port := free_port())}",
        }
        role = ("run", "--role", "workspace", "--host", "0.0.0.0", "--port", str(port))  # noqa: S104
        with started(*role, folder=tmp_path, **store, **settings) as (running, address):
            assert address == f"http://127.0.0.1:{port}/"
            ann = Person(address.rstrip("/"))
            assert "28,000.00" in ann.sign_in("/USPM").text
            running.terminate()
            assert running.wait(20) == 0
            assert running.stderr is not None
            written = running.stderr.read().decode()
    assert '"event": "signed_in"' in written
    for secret in (SECRET, ann.cookies["tieout-session"], "code=", "id_token"):
        assert secret not in written


def test_a_workspace_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    command = [sys.executable, "-m", "tieout", "run", "--role", "workspace", "--port", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no such store yet" in done.stderr
