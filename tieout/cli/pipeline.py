"""Commands that move events: make them up, put them onto the topics, project them."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from tieout.cli.common import examples, in_force, present, readable
from tieout.cli.failures import INTERRUPTED, complain
from tieout.cli.output import counted

if TYPE_CHECKING:
    import threading

    from tieout.settings import Settings
    from tieout.sync.command_topic import TopicWriter
    from tieout.worker.status import WorkerStatus


class Role(StrEnum):
    """What a worker does."""

    PROJECT = "project"
    HANDLE = "handle"
    WORKSPACE = "workspace"


Made = Literal["small", "large"]
MadeOption = Annotated[Made, typer.Option("--company", help="The made-up company.")]
SeedOption = Annotated[
    int, typer.Option(help="What chance starts from: the same seed makes the same events in the same order.")
]

# A file of the wrong kind has as many faults as lines; the first ones tell what it is.
REFUSALS_SHOWN = 100

PortOption = Annotated[
    int | None,
    typer.Option(
        min=0, max=65_535, help="The port of the workspace on 127.0.0.1, 8080 by default.", show_default=False
    ),
]

RUN_EXAMPLES = examples(
    "tieout run",
    "tieout run --role project --until-caught-up",
    "tieout run --role handle",
    "tieout run --role workspace --port 8081",
)


def run(
    role: Annotated[
        list[Role] | None,
        typer.Option(
            help="What the worker does, once for each role; all there is when none is named.", show_default=False
        ),
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when nothing is left to read; no workspace then.")
    ] = False,
    port: PortOption = None,
) -> None:
    """Start a worker. It projects the events of the topics into the store, does what Sync asks for where outgoing calls
    are switched on, and serves the workspace, until it is told to stop.
    """
    roles = set(role or Role)
    if role and Role.WORKSPACE in roles and until_caught_up:
        raise typer.BadParameter("a workspace is served until it is stopped.", param_hint="'--until-caught-up'")
    settings = in_force("info")
    if roles == {Role.WORKSPACE}:
        serve(settings, port)
        return
    from tieout.sync.command_topic import TopicWriter

    work(settings, roles, port, TopicWriter(settings), named=bool(role), until_caught_up=until_caught_up)


def work(
    settings: "Settings",
    roles: set[Role],
    port: int | None,
    topic_writer: "TopicWriter",
    *,
    named: bool,
    until_caught_up: bool = False,
    ready: Callable[[str | None], None] = lambda address: None,
) -> None:
    """Be a worker until it is told to stop. What a role needs must be there where roles are `named`, else it is left
    out. `ready` is told the address of the workspace before events are read.
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
        # Before the handlers start: what they report must wait for the log.
        projecting.enter_context(topic_writer.expect_worker())
    with (
        stop_on_signals(stop),
        _workspace(settings, port, topic_writer, stop, wanted=serves, named=named) as address,
        _handler(settings, topic_writer, stop, status, wanted=Role.HANDLE in roles, named=named, ends=until_caught_up),
        nullcontext() if until_caught_up else alerting(settings),
    ):
        ready(address)
        if Role.PROJECT in roles:
            with projecting:
                _project(settings, topic_writer, stop, until_caught_up=until_caught_up)
        elif not until_caught_up:
            # A worker that projects tells its own metrics.
            with serving(settings, status):
                stop.wait()
    if until_caught_up and not stop.is_set() and {Role.PROJECT, Role.HANDLE} <= roles:
        # What the handler reported when the projection had read everything.
        with topic_writer.expect_worker():
            _project(settings, topic_writer, stop, until_caught_up=True)


@contextmanager
def _handler(
    settings: "Settings",
    topic_writer: "TopicWriter",
    told: "threading.Event",
    status: "WorkerStatus",
    *,
    wanted: bool,
    named: bool,
    ends: bool,
) -> Iterator[None]:
    """Handle beside a worker; with `ends` until nothing waits. Where nobody asked for it by name, settings that do not
    allow it are no reason not to project. A database that is away is waited for, until `told` to stop.
    """
    if not wanted:
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
        create_store(settings, told)
    stop = threading.Event()
    with handling(settings, stop, topic_writer, status, until_done=ends):
        try:
            yield
        finally:
            if not ends:
                stop.set()


def serve(settings: "Settings", port: int | None) -> None:
    """Serve the workspace until it is told to stop, and say where it is. A database that is away is waited for."""
    import threading

    from tieout.worker.projecting import wait_for_store
    from tieout.worker.signals import stop_on_signals
    from tieout.workspace import server

    listening = server.listen(server.PORT if port is None else port, settings.expose_without_sign_in)
    stop = threading.Event()
    with stop_on_signals(stop):
        wait_for_store(settings, stop)
    if stop.is_set():
        return
    server.serve(settings, listening, lambda: say_where(server.address(listening)))


def say_where(address: str | None) -> None:
    """Say where the workspace is."""
    sys.stderr.write(f"The workspace is at {address} (Ctrl-C ends it)\n")
    sys.stderr.flush()


@contextmanager
def _workspace(
    settings: "Settings",
    port: int | None,
    topic_writer: "TopicWriter",
    stop: "threading.Event",
    *,
    wanted: bool,
    named: bool,
) -> Iterator[str | None]:
    """Serve beside a worker, and yield the address. Where nobody asked for the workspace by name, a port that is taken
    is no reason not to work.
    """
    if not wanted:
        yield None
        return
    import structlog

    from engine.errors import SettingError
    from tieout.worker.projecting import create_store
    from tieout.workspace import server

    log = structlog.get_logger(__name__)
    try:
        listening = server.listen(server.PORT if port is None else port, settings.expose_without_sign_in)
    except SettingError as error:
        if named or port is not None:
            raise
        log.warning("workspace_not_served", reason=str(error))
        yield None
        return
    create_store(settings, stop)
    with server.serve_in_background(settings, listening, topic_writer):
        yield server.address(listening)


def _project(
    settings: "Settings", topic_writer: "TopicWriter", stop: "threading.Event", *, until_caught_up: bool
) -> None:
    from tieout.cli.progress import lag
    from tieout.worker import projecting
    from tieout.worker.metrics import serving
    from tieout.worker.status import WorkerStatus

    status = WorkerStatus()
    # Who asked for an end looks at the exit code; and a worker may be serving at that place already.
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
    # A worker that is told to stop does as it is told; one that was to catch up has not.
    if until_caught_up and stop.is_set():
        raise typer.Exit(INTERRUPTED)


SIMULATE_EXAMPLES = examples(
    "tieout simulate --out events.jsonl --labels truth.jsonl",
    "tieout simulate --seed 7 --out - | tieout ingest -",
    "tieout simulate --company large --documents 2000 --out events.jsonl --labels truth.jsonl",
)


def simulate(
    out: Annotated[
        Path,
        typer.Option(metavar="FILE|-", help="Where the events go: JSON lines for `tieout ingest`.", show_default=False),
    ],
    company: MadeOption = "small",
    seed: SeedOption = 1,
    documents: Annotated[
        int | None, typer.Option(min=1, help="How many documents the large company has.", show_default="5000")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the true outcome of each document goes.", show_default=False),
    ] = None,
    lost: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Lose, cut and damage some events of the large company; what makes good for them goes here.",
            show_default=False,
        ),
    ] = None,
    silent: Annotated[
        bool, typer.Option("--silent", help="Let the large company's feed from Dataverse fall silent before the end.")
    ] = False,
    heartbeats: Annotated[
        bool, typer.Option(help="Whether the two systems of the large company say how much they have sent.")
    ] = True,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Nothing but CloudEvents; the large company else sends what the systems send."),
    ] = False,
) -> None:
    """Make up a company. Its events come late, twice and out of order; the true outcomes are written beside."""
    from tieout import simulator

    told = 0
    with ExitStack() as files:
        truth = files.enter_context(labels.open("wb")) if labels is not None else None

        def on_label(label: simulator.Label) -> None:
            nonlocal told
            told += 1
            if truth is not None:
                truth.write(simulator.label_line(label))

        try:
            made = simulator.deliver(
                company,
                seed,
                documents=documents,
                on_label=on_label,
                mishaps=lost is not None,
                silent=silent,
                heartbeats=heartbeats,
                plain=plain,
            )
        except ValueError as error:
            raise typer.BadParameter(f"{error}.") from None
        events = _write(out, simulator.ingest_lines(made.events))
    if lost is not None:
        _write(lost, simulator.ingest_lines(made.repairs))
    sys.stderr.write(
        f"{counted(events, 'event')} of {counted(told, 'document')}. "
        f"They mean what they should with TIEOUT_TODAY={made.today} TIEOUT_COMPANIES={','.join(made.companies)}\n"
    )
    if lost is not None:
        sys.stderr.write(
            f"{counted(len(made.repairs), 'event')} in {lost}: without them some documents stand in a wrong place.\n"
        )


def _write(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines as they are made, and count them."""
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
    """What `ingest` reads."""

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
        Format, typer.Option("--format", help="JSON lines, or a folder that Azure Synapse Link writes.")
    ] = Format.LINES,
    anew: Annotated[bool, typer.Option("--anew", help="Of a folder, read all of it again.")] = False,
) -> None:
    """Put events onto the topics, from JSON lines or a folder of Synapse Link.

    Each line is {"topic", "key", "headers", "value"}, or has "value_base64" for bytes that are no JSON. Of a folder the
    rows that were not read yet are taken. What cannot be taken is named with its place, and the rest goes on.
    """
    if form is Format.SYNAPSE:
        _ingest_folder(Path(file), anew=anew)
    else:
        _ingest_lines(readable(file))


class _Refused:
    """Names the first places that are refused, and counts them all."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._number = 0

    def __call__(self, where: str, reason: str) -> None:
        self._number += 1
        if self._number <= REFUSALS_SHOWN:
            complain(f"{where}: {reason}")

    def end(self, ingested: str) -> None:
        """Say what was ingested and what was not; the command ends with 1 if anything was refused."""
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
        raise typer.BadParameter(f"{str(folder)!r} is no folder.", param_hint="'FILE|-|FOLDER'")
    settings, refused = in_force(), _Refused("place")
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

    settings, refused = in_force(), _Refused("line")
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
    """A file of the command line for reading; `-` is standard input."""
    if file == "-":
        yield sys.stdin.buffer
        return
    with open(file, "rb") as stream:
        yield stream
