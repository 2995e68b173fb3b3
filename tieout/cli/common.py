"""Shared parts of commands: options, validation of arguments, the settings, and access to the store."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engine.mapping.compiler import Maps
    from store.queries.snapshot import Snapshot
    from tieout.settings import Settings


def examples(*commands: str) -> str:
    """Return the section of examples below a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def day(text: str) -> str:
    """Validate a date. Raises `BadParameter` with the format."""
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date. Use YYYY-MM-DD, such as 2025-01-08.") from None
    return text


def present(text: str) -> str:
    """Validate an existing file or folder, or `-` for standard input. Raises `BadParameter`."""
    if text != "-" and not os.path.exists(text):
        raise typer.BadParameter(f"the file {text!r} does not exist.")
    return text


def readable(text: str) -> str:
    """Validate a readable file, or `-` for standard input. Raises `BadParameter`."""
    if present(text) != "-" and (os.path.isdir(text) or not os.access(text, os.R_OK)):
        raise typer.BadParameter(f"{text!r} is a folder or is not readable. Name a file that you may read.")
    return text


CompanyOption = Annotated[
    str, typer.Option("--company", metavar="CODE", help="The company (legal entity), such as USPM.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="DATE", parser=day, help="First day, YYYY-MM-DD.", show_default=False)
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="DATE", parser=day, help="Last day, YYYY-MM-DD.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
InputArgument = Annotated[
    str, typer.Argument(metavar="FILE|-", parser=readable, help="A file, or - for standard input.", show_default=False)
]


def load_settings(level: str = "warning") -> "Settings":
    """Load the settings and configure logging. `level` is the log level if the settings name none.

    Raises `SettingError`.
    """
    from engine.errors import SettingError
    from streams.topics import FINANCE_CHANGES
    from tieout.logging import configure
    from tieout.settings import Settings, load

    settings = load()
    chosen = settings.log_level != Settings().log_level or os.environ.get("TIEOUT_LOG_LEVEL", "").strip()
    configure(settings.log_level if chosen else level)
    try:
        FINANCE_CHANGES.full_name(settings.prefix)
    except ValueError as error:
        raise SettingError(f"TIEOUT_PREFIX={settings.prefix!r}: {error}") from None
    return settings


@contextmanager
def open_snapshot(settings: "Settings") -> Iterator[tuple["Snapshot", "Maps"]]:
    """Open a snapshot of the store, and the maps by which it is read."""
    from store.queries.reader import Reader
    from tieout.bootstrap import load_maps, open_store

    maps = load_maps(settings)
    with open_store(settings, write=False) as engine:
        reader = Reader(
            engine,
            maps,
            today=settings.today,
            delayed=settings.delayed,
            accounts=settings.ledger_accounts,
        )
        with reader.snapshot() as snapshot:
            yield snapshot, maps
