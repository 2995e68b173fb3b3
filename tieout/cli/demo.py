"""`tieout demo`: the whole product on one machine, with a simulated company."""

import os
import shlex
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tieout.cli.common import examples, load_settings, open_snapshot
from tieout.cli.failures import INTERRUPTED
from tieout.cli.output import counted
from tieout.cli.pipeline import Role, SeedOption, SimulatedOption, work
from tieout.cli.workspace import PortOption, print_address
from tieout.cli.workspace import serve as serve_workspace

if TYPE_CHECKING:
    from streams.log import EventLog
    from streams.projector import Projector
    from tieout.settings import Settings
    from tieout.simulator import Delivery
    from tieout.sync.command_topic import TopicWriter

EXAMPLES = examples("tieout demo", "tieout demo --port 8081", "tieout demo --seed 7 --folder another-demo --no-serve")

TRY_SYNC = """
While this runs, Finance and Dataverse are simulated, and Sync can call them. In another terminal:

  source {file}
  tieout sync --company USPM
"""

# Names that no other installation uses, because a new demonstration removes these files.
LOG = "demo-log.sqlite"
STORE = "demo-store.sqlite"
ENVIRONMENT = "demo.env"


FolderOption = Annotated[Path, typer.Option(file_okay=False, help="Folder of the data.")]
KeepOption = Annotated[
    bool,
    typer.Option(
        "--keep", help="Keep the data of the last demonstration. Finance and Dataverse are then not simulated."
    ),
]
ServeOption = Annotated[
    bool, typer.Option("--serve/--no-serve", help="Serve the workspace until Ctrl-C, or exit after the summary.")
]


def demo(
    company: SimulatedOption = "small",
    seed: SeedOption = 1,
    folder: FolderOption = Path(".tieout/demo"),
    keep: KeepOption = False,
    port: PortOption = None,
    serve: ServeOption = True,
) -> None:
    """Start tieout with a simulated company. It needs no broker and no database server."""
    from tieout import simulator
    from tieout.bootstrap import open_projector

    base = load_settings()
    folder = folder.absolute()
    simulation = simulator.deliver(company, seed)
    settings = _demo_settings(base, simulation, folder)
    if not keep:
        _remove(folder)
    with open_projector(settings) as (log, projector):
        _play(simulation, log, projector, settings)
    with ExitStack() as stack:
        # The simulated systems live in memory: with kept data they would not match the store.
        systems = None if company == "large" or keep else stack.enter_context(_both_systems(settings, seed, folder))
        _show(settings, simulation.companies[0], folder)
        if not serve:
            return
        if systems is None:
            serve_workspace(settings, _free(port))
        else:
            _work_until_stopped(systems, folder / ENVIRONMENT, _free(port))


def _demo_settings(base: "Settings", simulation: "Delivery", folder: Path) -> "Settings":
    """Return the settings with the log and the store of the folder, and the company and date of the simulation."""
    from msgspec.structs import replace

    return replace(
        base,
        broker=f"embedded:///{folder / LOG}",
        store=f"sqlite:///{folder / STORE}",
        today=simulation.today,
        companies=simulation.companies,
        environments=None,
    )


class _Systems(NamedTuple):
    """A simulated pair: the settings and the variables that connect to it, and the writer of its events."""

    settings: "Settings"
    environment: dict[str, str]
    topic_writer: "TopicWriter"


@contextmanager
def _both_systems(settings: "Settings", seed: int, folder: Path) -> Iterator[_Systems]:
    """Simulate both systems within the block, with the additional content of the demonstration."""
    from msgspec.structs import replace

    from tieout import demo_content
    from tieout import settings as named
    from tieout.maintenance.ingest import read_line
    from tieout.simulator.pair import listen, serve_in_background, settings_at, small_pair
    from tieout.simulator.scenario import SimulatedEvent, ingest_line
    from tieout.sync.command_topic import TopicWriter

    def send(event: SimulatedEvent) -> None:
        record = read_line(ingest_line(event), settings.prefix)
        if record is not None:
            topic_writer.append([record])

    topic_writer = TopicWriter(settings)
    pair = small_pair(seed, sink=send, heartbeats=True)
    with serve_in_background(pair, listen()) as address:
        environment = {**_environment(settings), **settings_at(address), "TIEOUT_SYNC_POSTS": "true"}
        connected = replace(named.load(environment, folder), log_level=settings.log_level)
        with _only_errors():
            demo_content.add(connected, pair, topic_writer)
        yield _Systems(connected, environment, topic_writer)


def _work_until_stopped(systems: _Systems, file: Path, port: int) -> None:
    """Run a worker with all roles: the role handle makes the calls of Sync. `file` is written for other terminals."""
    _write_for_owner(file, _exports(systems.environment))

    def ready(workspace: str | None) -> None:
        sys.stdout.write(TRY_SYNC.format(file=shlex.quote(str(file))))
        sys.stdout.flush()
        print_address(workspace)

    work(systems.settings, set(Role), port, systems.topic_writer, named=True, ready=ready)


@contextmanager
def _only_errors() -> Iterator[None]:
    """Log only errors within the block: attempts that fail there are expected."""
    import structlog

    from tieout.logging import configure

    before = structlog.get_config()
    configure("error")
    try:
        yield
    finally:
        structlog.configure(**before)


def _free(port: int | None) -> int:
    """Return the requested port, else the default port, or 0 (any free port) if that is in use."""
    from engine.errors import SettingError
    from tieout.workspace import server

    if port is not None:
        return port
    try:
        server.listen(server.PORT).close()
    except SettingError:
        sys.stderr.write(f"Port {server.PORT} is in use. The workspace uses another port.\n")
        return 0
    return server.PORT


def _write_for_owner(file: Path, text: str) -> None:
    """Write a file that only its owner can read, because it contains a secret."""
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


def _remove(folder: Path) -> None:
    """Remove the data of the last demonstration. Raises `LogBusy` if another process uses it."""
    from streams.embedded.log import EmbeddedLog
    from streams.log import LogDamaged

    log = folder / LOG
    if log.exists():
        with suppress(LogDamaged):
            EmbeddedLog.open(log, "write").close()
    for name in (LOG, STORE):
        for suffix in ("", "-wal", "-shm"):
            (folder / (name + suffix)).unlink(missing_ok=True)


def _play(simulation: "Delivery", log: "EventLog", projector: "Projector", settings: "Settings") -> None:
    import threading

    from streams import faust_app
    from tieout.bootstrap import projected_topics
    from tieout.cli.failures import complain
    from tieout.cli.progress import lag
    from tieout.maintenance.ingest import ingest
    from tieout.simulator import ingest_lines

    ingested = ingest(
        log,
        enumerate(ingest_lines(simulation.events), 1),
        prefix=settings.prefix,
        refuse=lambda number, reason: complain(f"event {number}: {reason}"),
    )
    sys.stderr.write(f"{counted(ingested.events, 'event')} delivered: late, twice and out of order\n")
    stop = threading.Event()
    with lag("Reconciling") as report:
        faust_app.run(
            log, projector, topics=projected_topics(settings), until_caught_up=True, on_progress=report, stop=stop
        )
    if stop.is_set():
        raise typer.Exit(INTERRUPTED)
    sys.stderr.write(f"{counted(ingested.events, 'event')} reconciled\n")


def _show(settings: "Settings", company: str, folder: Path) -> None:
    from store.queries.grid_query import GridQuery
    from tieout.cli.text_tables import console, show_summary

    screen = console()
    screen.print(f"Business date: {settings.today} (simulated)\n")
    with open_snapshot(settings) as (snapshot, _):
        window = snapshot.window(snapshot.company(company), None, None)
        show_summary(screen, snapshot.summary(snapshot.company(company), window).as_json())
        missing = snapshot.page(
            GridQuery(company=company, kind="expense", window=window, view="missing-actuals", limit=1)
        )
    document = missing.rows[0].document.document if missing.rows else f"{company}/…"
    commands = (
        f"tieout summary --company {company}",
        f"tieout documents --company {company} --kind expense --view missing-actuals",
        f"tieout documents --company {company} --kind vendor-invoice-line --view missing-journal-lines --json",
        f"tieout chain {shlex.quote(document)}",
        "tieout verify",
    )
    exports = textwrap.indent(_exports(_environment(settings)), "  ")
    suggestions = "".join(f"  {command}\n" for command in commands)
    # Bypass the console, which would wrap the commands that are to be copied.
    screen.file.write(f"\nThe data is in {folder}. To explore it:\n\n{exports}\n{suggestions}")


def _environment(settings: "Settings") -> dict[str, str]:
    """Return the variables by which commands find the demonstration."""
    return {
        "TIEOUT_BROKER": settings.broker,
        "TIEOUT_STORE": settings.store,
        "TIEOUT_TODAY": str(settings.today),
        "TIEOUT_COMPANIES": ",".join(settings.companies or ()),
    }


def _exports(environment: dict[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
