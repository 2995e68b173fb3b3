"""The map files of an environment, read."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from engine.errors import MapError
from engine.maps import Maps, compile_maps
from tieout.settings import Settings

SHIPPED_MAPS: Final = ("finance.toml", "dataverse.toml")


def load_maps(settings: Settings) -> Maps:
    """The shipped maps, with the environment's own entities in place of theirs. Raises `MapError`, naming file and
    key.
    """
    contents = [_parsed(name, (files("tieout") / "maps" / name).read_text(encoding="utf-8")) for name in SHIPPED_MAPS]
    own = [_parsed(name, _read(name)) for name in settings.maps]
    replaced = {entity for _, content in own for entity in _entities(content)}
    kept = [
        (
            name,
            {**content, "entities": {key: value for key, value in _entities(content).items() if key not in replaced}},
        )
        for name, content in contents
    ]
    return compile_maps([*kept, *own])


def _entities(content: dict[str, Any]) -> dict[str, Any]:
    entities = content.get("entities", {})
    return entities if isinstance(entities, dict) else {}


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
