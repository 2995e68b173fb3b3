"""Loads the map files of an environment."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from engine.errors import MapError
from engine.mapping.compiler import Maps, compile_maps
from tieout.settings import Settings

SHIPPED_MAPS: Final = ("finance.toml", "dataverse.toml")


def load_maps(settings: Settings) -> Maps:
    """Load the shipped maps and merge the environment's own files over them, key by key.

    Raises `MapError` with file and key.
    """
    shipped = [_parsed(name, (files("tieout") / "maps" / name).read_text(encoding="utf-8")) for name in SHIPPED_MAPS]
    return compile_maps(shipped, [_parsed(name, _read(name)) for name in settings.maps])


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MapError(f"the map file {name} (TIEOUT_MAPS) cannot be read: {error}.") from None


def _parsed(name: str, content: str) -> tuple[str, dict[str, Any]]:
    try:
        return name, tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise MapError(f"the map file {name} is not TOML: {error}.") from None
