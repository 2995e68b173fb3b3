"""Commands that move events: `run`, `simulate`, `ingest`."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from tieout.cli.common import examples, load_settings, present, readable
from tieout.cli.failures import INTERRUPTED, complain
from tieout.cli.output import counted
from tieout.cli.workspace import HostOption, PortOption, serve, serving_workspace

if TYPE_CHECKING:
    import threading

    from tieout.settings import Settings
    from tieout.sync.command_topic import TopicWriter
    from tieout.worker.status import WorkerStatus


class Role(StrEnum):
    """A role of a worker."""

    PROJECT = "project"
    HANDLE = "handle"
    WORKSPACE = "workspace"


SimulatedCompany = Literal["small", "large"]
SimulatedOption = Annotated[SimulatedCompany, typer.Option("--company", help="The simulated company.")]
SeedOption = Annotated[
    int, typer.Option(help="Seed of the random numbers. The same seed creates the same events in the same order.")
]

# A file of the wrong kind has an error on every line; the first ones are enough to recognise it.
REFUSALS_SHOWN = 100

RUN_EXAMPLES = examples(
    "tieout run",
    "tieout run --role project --until-caught-up",
    "tieout run --role handle",
    "tieout run --role workspace --port 8081",
)


def run(
    role: Annotated[
        list[Role] | None,
        typer.Option(help="Role of the worker; repeat it for several. All roles by default.", show_default=False),
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Exit when all events are applied. The workspace is not served.")
    ] = False,
    port: PortOption = None,
    host: HostOption = None,
) -> None:
    """Start a worker. It applies the events of the topics to the store, executes what Sync requests if outgoing calls
    are enabled, and serves the workspace until it is stopped.
    """
    roles = set(role or Role)
    if role and Role.WORKSPACE in roles and until_caught_up:
        raise typer.BadParameter(
            "the role workspace runs until it is stopped. Leave out one of the two options.",
            param_hint="'--until-caught-up'",
        )
    settings = load_settings("info")
    if roles == {Role.WORKSPACE}:
        serve(settings, port, host)
        return
    from tieout.sync.command_topic import TopicWriter

    work(settings, roles, port, TopicWriter(settings), host=host, named=bool(role), until_caught_up=until_caught_up)


def work(
    settings: "Settings",
    roles: set[Role],
    port: int | None,
    topic_writer: "TopicWriter",
    *,
    named: bool,
    host: str | None = None,
    until_caught_up: bool = False,
    ready: Callable[[str | None], None] = lambda address: None,
) -> None:
    """Run a worker until it is stopped.

    If the roles are `named`, a role whose preconditions are not met raises `SettingError`; otherwise it is left out.
    `ready` receives the address of the workspace before events are read.
    """
    import threading

    from tieout.worker.alerting import alerting
    from tieout.worker.metrics import serving
    from tieout.worker.signals import stop_on_signals
    from tieout.worker.status import WorkerStatus

    stop, status = threading.Event(), WorkerStatus()
    serves = not until_caught_up and Role.WORKSPACE in roles
    projecting = ExitStack()
    if Role.PROJECT in roles:
        # Before the handlers start: what they report must wait until the projection has opened the log.
        projecting.enter_context(topic_writer.expect_worker())
    with (
        stop_on_signals(stop),
        serving_workspace(settings, port, host, topic_writer, stop, enabled=serves, named=named) as address,
        _handler(settings, topic_writer, stop, status, enabled=Role.HANDLE in roles, named=named, ends=until_caught_up),
        nullcontext() if until_caught_up else alerting(settings),
    ):
        ready(address)
        if Role.PROJECT in roles:
            with projecting:
                _project(settings, topic_writer, stop, until_caught_up=until_caught_up)
        elif not until_caught_up:
            # The role project serves metrics of its own.
            with serving(settings, status):
                stop.wait()
    if until_caught_up and not stop.is_set() and {Role.PROJECT, Role.HANDLE} <= roles:
        # Events that the handler reported after the projection had caught up.
        with topic_writer.expect_worker():
            _project(settings, topic_writer, stop, until_caught_up=True)


@contextmanager
def _handler(
    settings: "Settings",
    topic_writer: "TopicWriter",
    stop_worker: "threading.Event",
    status: "WorkerStatus",
    *,
    enabled: bool,
    named: bool,
    ends: bool,
) -> Iterator[None]:
    """Run the handlers in threads of this process; with `ends`, until nothing is queued.

    A configuration that does not permit handling raises `SettingError` only if the role is `named`. Waits for a
    database that is not reachable until `stop_worker` is set.
    """
    if not enabled:
        yield
        return
    import threading

    import structlog

    from engine.errors import SettingError
    from tieout.sync.connectors import is_configured
    from tieout.worker.handling import handling, ready
    from tieout.worker.projecting import create_store

    if (reason := ready(settings)) is not None:
        if named:
            raise SettingError(f"the role handle has nothing to do: {reason}.")
        if is_configured(settings):
            log = structlog.get_logger(__name__)
            log.info("nothing_handled", reason=reason)
        yield
        return
    if not ends:
        create_store(settings, stop_worker)
    stop = threading.Event()
    with handling(settings, stop, topic_writer, status, until_done=ends):
        try:
            yield
        finally:
            if not ends:
                stop.set()


def _project(
    settings: "Settings", topic_writer: "TopicWriter", stop: "threading.Event", *, until_caught_up: bool
) -> None:
    from tieout.cli.progress import lag
    from tieout.worker import projecting
    from tieout.worker.metrics import serving
    from tieout.worker.status import WorkerStatus

    status = WorkerStatus()
    # Such a run reports by its exit code, and another worker may serve metrics at that address already.
    observed = nullcontext() if until_caught_up else serving(settings, status)
    with observed, lag("Projecting") as report:
        projecting.project(
            settings,
            until_caught_up=until_caught_up,
            stop=stop,
            on_progress=report,
            status=status,
            topic_writer=topic_writer,
        )
    # Stopping a worker is success; a worker that was to catch up has not done so.
    if until_caught_up and stop.is_set():
        raise typer.Exit(INTERRUPTED)


SIMULATE_EXAMPLES = examples(
    "tieout simulate --out events.jsonl --labels truth.jsonl",
    "tieout simulate --seed 7 --out - | tieout ingest -",
    "tieout simulate --company large --documents 2000 --out events.jsonl --labels truth.jsonl",
)


EventsOption = Annotated[
    Path,
    typer.Option(metavar="FILE|-", help="File for the events: JSON lines for `tieout ingest`.", show_default=False),
]
DocumentsOption = Annotated[
    int | None, typer.Option(min=1, help="Number of documents of the large company.", show_default="5000")
]
LabelsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File for the true outcome of each document.", show_default=False)
]
LostOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Lose, truncate and damage events of the large company; their repairs go to this file.",
        show_default=False,
    ),
]
SilentOption = Annotated[
    bool, typer.Option("--silent", help="Stop the large company's feed from Dataverse before the end.")
]
HeartbeatsOption = Annotated[bool, typer.Option(help="Send heartbeats from both systems of the large company.")]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Send CloudEvents only, not the formats of the two systems.")
]
LedgerOption = Annotated[
    bool, typer.Option("--ledger", help="Send the ledger of the small company's integration accounts as well.")
]


def simulate(
    out: EventsOption,
    company: SimulatedOption = "small",
    seed: SeedOption = 1,
    documents: DocumentsOption = None,
    labels: LabelsOption = None,
    lost: LostOption = None,
    silent: SilentOption = False,
    heartbeats: HeartbeatsOption = True,
    plain: PlainOption = False,
    ledger: LedgerOption = False,
) -> None:
    """Simulate a company. Its events arrive late, twice and out of order; --labels writes the true outcomes."""
    from tieout import simulator

    documents_written = 0
    with ExitStack() as files:
        truth = files.enter_context(labels.open("wb")) if labels is not None else None

        def on_label(label: simulator.Label) -> None:
            nonlocal documents_written
            documents_written += 1
            if truth is not None:
                truth.write(simulator.label_line(label))

        try:
            delivered = simulator.deliver(
                company,
                seed,
                documents=documents,
                on_label=on_label,
                mishaps=lost is not None,
                silent=silent,
                heartbeats=heartbeats,
                plain=plain,
                ledger=ledger,
            )
        except ValueError as error:
            raise typer.BadParameter(f"{error}.") from None
        events = _write(out, simulator.ingest_lines(delivered.events))
    if lost is not None:
        _write(lost, simulator.ingest_lines(delivered.repairs))
    sys.stderr.write(
        f"{counted(events, 'event')} of {counted(documents_written, 'document')}. "
        f"Use them with TIEOUT_TODAY={delivered.today} TIEOUT_COMPANIES={','.join(delivered.companies)}\n"
    )
    if lost is not None:
        sys.stderr.write(
            f"{counted(len(delivered.repairs), 'event')} in {lost}. Until they are ingested, some results are wrong.\n"
        )


def _write(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines as they are created, and return their number."""
    number = 0
    with nullcontext(sys.stdout.buffer) if str(path) == "-" else path.open("wb") as file:
        for line in lines:
            file.write(line)
            number += 1
        file.flush()
    return number


INGEST_EXAMPLES = examples(
    "tieout ingest events.jsonl",
    "tieout simulate --out - | tieout ingest -",
    "tieout ingest --format synapse exported/",
)


class Format(StrEnum):
    """An input format of `ingest`."""

    LINES = "lines"
    SYNAPSE = "synapse"


def ingest(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-|FOLDER",
            parser=present,
            help="A file, - for standard input, or a folder.",
            show_default=False,
        ),
    ],
    form: Annotated[
        Format, typer.Option("--format", help="JSON lines, or a folder of Azure Synapse Link.")
    ] = Format.LINES,
    anew: Annotated[bool, typer.Option("--anew", help="Read the whole folder again.")] = False,
) -> None:
    """Append events to the topics, from JSON lines or a folder of Synapse Link.

    Each line is {"topic", "key", "headers", "value"}; "value_base64" is for bytes that are not JSON. From a folder,
    only new rows are read. An invalid line or row is reported with its location; the others are ingested.
    """
    if form is Format.SYNAPSE:
        _ingest_folder(Path(file), anew=anew)
    else:
        _ingest_lines(readable(file))


class _Refused:
    """Reports refused lines or rows: the first ones by location and reason, the others by their number."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._number = 0

    def __call__(self, where: str, reason: str) -> None:
        self._number += 1
        if self._number <= REFUSALS_SHOWN:
            complain(f"{where}: {reason}")

    def end(self, ingested: str) -> None:
        """Print how much was ingested and refused. Raises `Exit` with code 1 if anything was refused."""
        if self._number > REFUSALS_SHOWN:
            complain(f"… and {counted(self._number - REFUSALS_SHOWN, self._noun)} more.")
        refused = f", {counted(self._number, self._noun)} refused" if self._number else ""
        sys.stderr.write(f"{ingested} ingested{refused}\n")
        if self._number:
            raise typer.Exit(1)


def _ingest_folder(folder: Path, *, anew: bool) -> None:
    from store.operational.cursors import SqlCursors
    from tieout.bootstrap import load_maps, open_log, open_store
    from tieout.cli.progress import bar
    from tieout.maintenance.synapse import ingest_folder

    if not folder.is_dir():
        raise typer.BadParameter(
            f"{str(folder)!r} is not a folder. Name the folder that Synapse Link writes.", param_hint="'FILE|-|FOLDER'"
        )
    settings, refused = load_settings(), _Refused("row")
    with (
        open_store(settings, write=True) as store,
        open_log(settings, write=True) as log,
        bar("Ingesting", None) as move,
    ):
        done = ingest_folder(
            log,
            folder,
            load_maps(settings),
            SqlCursors(store),
            prefix=settings.prefix,
            anew=anew,
            refuse=refused,
            on_progress=lambda read, total, rows: move(read, total, counted(rows, "row")),
        )
    refused.end(counted(done.events, "row"))


def _ingest_lines(file: str) -> None:
    from tieout.bootstrap import open_log
    from tieout.cli.progress import bar
    from tieout.maintenance import ingest as lines

    settings, refused = load_settings(), _Refused("line")
    with opened(file) as stream, open_log(settings, write=True) as log:
        size = os.stat(file).st_size if file != "-" and stream.seekable() else None
        with bar("Ingesting", size) as move:
            done = lines.ingest(
                log,
                lines.numbered(stream),
                prefix=settings.prefix,
                refuse=lambda number, reason: refused(f"line {number}", reason),
                on_progress=lambda events: move(0 if size is None else stream.tell(), size, counted(events, "event")),
            )
    refused.end(counted(done.events, "event"))


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file argument for reading; `-` is standard input."""
    if file == "-":
        yield sys.stdin.buffer
        return
    with open(file, "rb") as stream:
        yield stream
