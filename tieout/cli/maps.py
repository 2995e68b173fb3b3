"""`tieout maps`: checks the map files, shows them, and explains how they read an event (R6)."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import InputArgument, JsonOption, examples, load_settings
from tieout.cli.output import counted, emit, plain
from tieout.cli.pipeline import opened

if TYPE_CHECKING:
    from engine.chains.explain_event import Reading
    from engine.events.facts import Fact
    from engine.mapping.compiler import Maps
    from engine.mapping.files import Layered

CHECK_EXAMPLES = examples("tieout maps check", "TIEOUT_MAPS=contoso.toml tieout maps check")
SHOW_EXAMPLES = examples("tieout maps show", "tieout maps show msdyn_expense")
EXPLAIN_EXAMPLES = examples("tieout maps explain event.json", "tieout maps explain - < event.json")

app = typer.Typer(
    help="Check the map files, show them, and explain how they read an event.",
    epilog=examples("tieout maps check", "tieout maps show msdyn_expense", "tieout maps explain event.json"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog=CHECK_EXAMPLES)
def check() -> None:
    """Check the configured map files. Exits with 1 and the file, table and key of an error."""
    from engine.mapping.compiler import single_links
    from tieout.maintenance.map_files import load_maps

    maps = load_maps(load_settings())
    lines = [f"ok: {', '.join(maps.versions)}; {counted(len(maps.entities), 'entity', 'entities')}"]
    lines += [f"warning: {where}: no other entity has this link, so it joins nothing" for where in single_links(maps)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


@app.command(epilog=SHOW_EXAMPLES)
def show(
    entity: Annotated[
        str | None,
        typer.Argument(metavar="[ENTITY]", help="One of its names; all entities by default.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the merged maps, each key with the file that sets it."""
    from engine.errors import QueryError
    from tieout.maintenance.map_files import load_maps

    maps = load_maps(load_settings())
    selected = maps.find(entity) if entity is not None else None
    if entity is not None and selected is None:
        raise QueryError(f"no map describes the entity {entity!r}. `tieout maps show` lists all entities.")
    for name in [selected.entity] if selected is not None else sorted(maps.entities):
        if as_json:
            emit({"entity": name, **_for_programs(maps.written[name])})
        else:
            sys.stdout.write(_as_toml(name, maps.written[name]) + "\n")


def _for_programs(layered: "Layered") -> dict[str, Any]:
    import msgspec

    keys = {key: value for key, value in msgspec.to_builtins(layered.entry).items() if value not in (None, [], {})}
    return {"source": layered.source, **keys, "origins": {key: name for key, name in layered.origins.items() if key}}


def _as_toml(name: str, layered: "Layered") -> str:
    """Return the table of an entity as in a map file, one key per line, with its file in a comment."""
    from engine.mapping.files import entry_keys

    lines = [f"[entities.{name}]  # {layered.source}"]
    for key, value in entry_keys(layered.entry):
        if not key.startswith("aliases."):
            lines.append(f"{key} = {_value(value)}  # {layered.origins[key]}")
    if layered.entry.aliases:
        lines.append(f"aliases = {_value(layered.entry.aliases)}")
    return "".join(f"{plain(line)}\n" for line in lines)


def _value(value: Any) -> str:
    """Return a value in TOML syntax."""
    import msgspec

    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        inside = ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items() if inner not in (None, {}, False))
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return msgspec.json.encode(value).decode()


@app.command(epilog=EXPLAIN_EXAMPLES)
def explain(file: InputArgument, as_json: JsonOption = False) -> None:
    """Explain how the maps read an event: which file and key decides each value and link."""
    import msgspec

    from engine.chains.explain_event import reading
    from engine.events.facts import Change
    from streams.codec import decode
    from streams.codec.environments import from_setting
    from tieout.maintenance.map_files import load_maps

    settings = load_settings()
    maps = load_maps(settings)
    with opened(file) as stream:
        facts = decode(stream.read(), environments=from_setting(settings.environments), undated=True)
    for fact in facts:
        result = reading(fact, maps) if isinstance(fact, Change) else None
        if as_json:
            emit({"event": _summary(fact), "reading": msgspec.to_builtins(result)})
        else:
            _show_reading(fact, result, maps)


def _summary(fact: "Fact") -> dict[str, Any]:
    from engine.events.facts import Change

    if isinstance(fact, Change):
        return {"operation": fact.operation, "source": fact.source, "entity": fact.entity, "id": fact.id or None}
    return {"operation": type(fact).__name__.lower(), "source": getattr(fact, "source", "finance")}


def _show_reading(fact: "Fact", result: "Reading | None", maps: "Maps") -> None:
    from tieout.cli.operation_tables import show_reading
    from tieout.cli.text_tables import console

    title = " ".join(str(value) for value in _summary(fact).values() if value is not None)
    screen = console()
    screen.print(plain(title))
    if result is None:
        screen.print(_without_map(fact) + "\n")
        return
    show_reading(screen, result, read_again=getattr(fact, "operation", "") == "notify")


def _without_map(fact: "Fact") -> str:
    from engine.events.facts import Change

    if not isinstance(fact, Change):
        return "This event needs no map."
    if not fact.id:
        return "A notice with keys only: it needs no map."
    return (
        f"No map has this entity, so the event would be rejected. Add a table [entities.{fact.entity}] to a map file."
    )
