"""Measure the product next to a raw limit and comparable implementations, and check the resulting store."""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from typing import Final, TypeVar

from msgspec.structs import replace
from rich.console import Console

from benchmarks import contexts, profiled, replaying, report
from benchmarks.figures import Checked, Prepared, Product, Rate, Timing
from benchmarks.job import Job
from benchmarks.phase import run_phase

GROWTH_SIZES: Final = (report.GROWTH_FROM, 1_000_000)
SMALLEST: Final = 4_000

console = Console()
T = TypeVar("T")


class WrongResult(Exception):
    """The product was fast, and wrong: there are no figures then."""


def main() -> int:
    """Measure each size, print and save the figures."""
    options = _arguments()
    try:
        if options.profile:
            return _profile(options.documents)
        if options.contexts:
            return _contexts(options)
        if options.pages:
            return _pages(options)
        if options.replay:
            return _replay(options)
        if options.servers:
            return _servers(options)
        sizes = GROWTH_SIZES if options.growth else (options.documents,)
        results = [_measure(documents) for documents in sizes]
    except WrongResult as wrong:
        console.print(f"[red]wrong result:[/]\n{wrong}")
        return 1
    console.print(report.table(results))
    if options.save:
        report.save(results)
        console.print(f"kept in {report.RESULTS.parent.name}/{report.RESULTS.name}/latest.md")
    return 0


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000, help="size of the load; 8 events each (100000)")
    parser.add_argument("--growth", action="store_true", help="100 thousand and 1 million documents, side by side")
    parser.add_argument("--servers", action="store_true", help="on Kafka and PostgreSQL, in containers")
    parser.add_argument(
        "--contexts", action="store_true", help="events as Dataverse sends them, on Kafka and PostgreSQL"
    )
    parser.add_argument(
        "--pages",
        action="store_true",
        help="the workspace in a browser, and readers beside the worker; with --servers on PostgreSQL, too",
    )
    parser.add_argument(
        "--replay", action="store_true", help="a replay after a change of maps; with --servers on those"
    )
    parser.add_argument("--profile", action="store_true", help="only show where the time of applying batches goes")
    parser.add_argument(
        "--no-save", dest="save", action="store_false", help="leave the figures in the repository as they are"
    )
    options = parser.parse_args()
    if options.documents < SMALLEST:
        parser.error(f"--documents must be at least {SMALLEST}: fewer do not fill the pages that are asked for")
    return options


def _measure(documents: int) -> report.Result:
    with tempfile.TemporaryDirectory(prefix="tieout-bench-") as folder:
        job = Job(folder, documents)
        prepared = _phase("prepare", Prepared, job)
        product = _phase("product", Product, job)
        rates = {name: _phase(name, Rate, job) for name in ("raw", "orm", "upsert")}
        timings = _phase("questions", list[Timing], job)
        _check(job)
    return report.result(documents, prepared, product, rates, timings)


def _profile(documents: int) -> int:
    with tempfile.TemporaryDirectory(prefix="tieout-bench-") as folder:
        job = Job(folder, documents)
        _phase("prepare", Prepared, job)
        product = _phase("profile", Product, job)
        _check(job)
        console.print(profiled.table(job))
    console.print(f"{product.events:,} events in {product.seconds:.1f} s: the profiler makes everything slower")
    return 0


def _servers(options: Namespace) -> int:
    # Only here: it needs a container engine and its client.
    from benchmarks import servers

    with tempfile.TemporaryDirectory(prefix="tieout-bench-") as folder:
        result = servers.measure(options.documents, folder, _phase, _check)
    console.print(servers.table(result))
    if options.save:
        console.print(f"kept in {servers.save(result).name}")
    return 0


def _contexts(options: Namespace) -> int:
    # Only here: it needs a container engine and its client.
    from tests.support import containers

    with (
        tempfile.TemporaryDirectory(prefix="tieout-bench-") as folder,
        containers.broker() as broker,
        containers.database(durable=True) as database,
    ):
        job = Job(folder, options.documents, broker.url, database.create("product"))
        try:
            result = contexts.run(job, _phase)
        except ValueError as error:
            raise WrongResult(str(error)) from None
    console.print(contexts.table(result))
    if options.save:
        console.print(f"kept in {contexts.save(result).name}")
    return 0


def _pages(options: Namespace) -> int:
    # Only here: it needs a browser.
    from benchmarks import pages

    with tempfile.TemporaryDirectory(prefix="tieout-bench-") as folder, ExitStack() as running:
        job = Job(folder, options.documents)
        jobs = {"SQLite": job}
        if options.servers:
            # Only here: it needs a container engine and its client.
            from tests.support import containers

            database = running.enter_context(containers.database(durable=True))
            jobs["PostgreSQL"] = replace(job, store=database.create("product"))
        try:
            result = pages.run(jobs, _phase, _check)
        except ValueError as error:
            raise WrongResult(str(error)) from None
    console.print(pages.table(result))
    if options.save:
        console.print(f"kept in {pages.save(result).name}")
    return 0


def _replay(options: Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tieout-bench-") as folder, ExitStack() as running:
        job = Job(folder, options.documents)
        wrong = replace(job, store=f"sqlite:///{folder}/wrong.sqlite", maps=(f"{folder}/wrong.toml",))
        if options.servers:
            # Only here: it needs a container engine and its client.
            from tests.support import containers

            broker = running.enter_context(containers.broker())
            database = running.enter_context(containers.database(durable=True))
            job = replace(job, broker=broker.url, store=database.create("right"))
            wrong = replace(wrong, broker=broker.url, store=database.create("wrong"))
        try:
            result = replaying.run(job, wrong, _phase)
        except ValueError as error:
            raise WrongResult(str(error)) from None
    console.print(replaying.table(result))
    if options.save:
        console.print(f"kept in {replaying.save(result, 'servers' if options.servers else 'embedded').name}")
    return 0


def _check(job: Job) -> None:
    if faults := _phase("check", Checked, job).faults:
        raise WrongResult("\n".join(faults))


def _phase(name: str, answer: type[T], job: Job) -> T:
    with console.status(f"{job.documents:,} documents: {name}"):
        return run_phase(name, answer, job)


if __name__ == "__main__":
    sys.exit(main())
