"""Ingests the CSV folders of Azure Synapse Link (R9): `tieout ingest --format synapse FOLDER`.

| path | content |
| --- | --- |
| `model.json` | schema: the tables, and their columns in file order |
| `TABLE/2025.csv` | rows of a table, without a header |
| `2025-01-08T09.00.00Z/` | incremental update: its own `model.json` and tables |
| `Changelog/changelog.info` | name of the incremental folder that is still being written |

Rows are sent as JSON (`streams.codec.exports`), several rows of a table in one event. New columns are appended, so
older rows in a file may be shorter, down to `IsDelete`; any other width means misaligned columns, and the row is
refused. Ingestion is incremental: a cursor stores the last incremental folder, or size and time of each file.
Ingestion is idempotent: rows that are read twice are the same events or the same values.
"""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.cursors import Cursor, Cursors
from engine.errors import InputError
from engine.maps import EntityMap, Maps
from streams.codec import TABLE
from streams.log import RECORD_BYTES_MAX, EventLog, NewRecord
from streams.topics import CHANGES
from tieout.ingest import BATCH_BYTES, Ingested

EVENT_BYTES: Final = 256 * 1024
ROW_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_024
"""A row is an event, with the name of its table beside."""
MODEL_BYTES_MAX: Final = 64 * 1024 * 1024

_INTERVAL: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}[.:]\d{2}[.:]\d{2}(\.\d+)?Z?", re.ASCII | re.IGNORECASE)
_WHOLE: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}

_json: Final = msgspec.json.Encoder().encode


class _Attribute(msgspec.Struct):
    name: str
    type: str = msgspec.field(name="dataType", default="string")


class _Table(msgspec.Struct):
    name: str
    attributes: list[_Attribute] = []


class _Model(msgspec.Struct):
    entities: list[_Table]


_model: Final = msgspec.json.Decoder(_Model)
_files: Final = msgspec.json.Decoder(dict[str, str])

csv.field_size_limit(ROW_BYTES_MAX)

Refuse = Callable[[str, str], None]
"""Receives the location and the reason of each refusal."""


class _File(NamedTuple):
    """A CSV file with its table and schema."""

    path: Path
    table: str
    attributes: list[_Attribute]
    entity: EntityMap


class _Part(NamedTuple):
    """Files that advance the cursor together, and the cursor link after them."""

    files: list[_File]
    link: str


def ingest_folder(
    log: EventLog,
    folder: Path,
    maps: Maps,
    cursors: Cursors,
    *,
    prefix: str,
    anew: bool,
    refuse: Refuse,
    on_progress: Callable[[int, int, int], None] = lambda done, total, rows: None,
) -> Ingested:
    """Append the new rows of all mapped tables, oldest folder first; `Ingested.events` counts rows.

    `anew` ignores the cursor. A refusal does not stop ingestion; the first one stays in the cursor as its fault until
    a run with `anew`. `on_progress` receives bytes done, bytes in total and rows. Raises `InputError` if this is no
    folder of Synapse Link, `LogError` if the log fails.
    """
    table = f"synapse/{folder.resolve()}"
    kept = None if anew else cursors.load(table)
    cursor = kept or Cursor(table=table)
    refused = 0

    def refusing(where: str, reason: str) -> None:
        nonlocal refused, cursor
        refused += 1
        cursor = msgspec.structs.replace(cursor, fault=cursor.fault or f"{where}: {reason}")
        refuse(where, reason)

    parts = _parts(folder, cursor.link, maps, refusing)
    total = sum(file.path.stat().st_size for part in parts for file in part.files)
    done = rows = 0
    batch: list[NewRecord] = []
    held = 0
    for part in parts:
        for file in part.files:
            for record, count in _events(file, prefix, refusing):
                batch.append(record)
                held += len(record.value or b"")
                rows += count
                if held >= BATCH_BYTES:
                    log.append(batch)
                    batch, held = [], 0
                on_progress(done, total, rows)
            done += file.path.stat().st_size
        if batch:
            log.append(batch)
            batch, held = [], 0
        cursor = msgspec.structs.replace(cursor, link=part.link, rows=rows, passes=cursor.passes + 1)
        cursors.save(cursor)
        on_progress(done, total, rows)
    if refused:
        cursors.save(cursor)
    return Ingested(rows, refused)


# --- files --------------------------------------------------------------------------------------------


def _parts(folder: Path, link: str | None, maps: Maps, refuse: Refuse) -> list[_Part]:
    intervals = sorted(path for path in folder.iterdir() if path.is_dir() and _INTERVAL.fullmatch(path.name))
    if not intervals:
        if not (folder / "model.json").is_file():
            raise InputError(
                f"{folder} is no folder of Synapse Link: there is neither a model.json nor a folder of one."
            )
        return _changed(_files_of(folder, maps, refuse), folder, link)
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and maps.find(path.name) is not None):
        refuse(str(place), "a table beside folders of intervals is not read: ingest its folder by itself")
    parts = []
    for interval in intervals:
        # model.json is written when the folder is complete; later folders cannot be complete before it.
        if interval.name == _being_written(folder) or not _is_complete(interval):
            break
        if link is None or interval.name > link:
            parts.append(_Part(_files_of(interval, maps, refuse), interval.name))
    return parts


def _being_written(folder: Path) -> str:
    try:
        return (folder / "Changelog" / "changelog.info").read_text(encoding="utf-8")[:100].strip().strip("/")
    except (OSError, UnicodeDecodeError):
        return ""


def _is_complete(interval: Path) -> bool:
    model = interval / "model.json"
    return model.is_file() and model.stat().st_size > 0


def _changed(files: list[_File], folder: Path, link: str | None) -> list[_Part]:
    """The files that are new or have changed since the last run."""
    known = _files.decode(link) if link is not None and link.startswith("{") else {}
    sizes = {}
    for file in files:
        stat = file.path.stat()
        sizes[str(file.path.relative_to(folder))] = f"{stat.st_size}/{stat.st_mtime_ns}"
    left = [file for file in files if known.get(name := str(file.path.relative_to(folder))) != sizes[name]]
    return [_Part(left, _json(sizes).decode())] if left else []


def _files_of(part: Path, maps: Maps, refuse: Refuse) -> list[_File]:
    """The files of the mapped tables that the model describes."""
    model = part / "model.json"
    try:
        with model.open("rb") as stream:
            read = _model.decode(stream.read(MODEL_BYTES_MAX))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(str(model), f"no model of Synapse Link, so nothing beside it can be read: {error}")
        return []
    tables = {table.name.lower(): table for table in read.entities}
    files = []
    for place in sorted(path for path in part.iterdir() if path.is_dir()):
        entity, table = maps.find(place.name), tables.get(place.name.lower())
        if entity is None or entity.role.name == "later":
            continue
        inside = sorted(path for path in place.rglob("*") if path.is_file())
        paths = [path for path in inside if path.suffix.lower() == ".csv"]
        for path in inside:
            if path not in paths and path.suffix.lower() != ".json":
                refuse(str(path), "it is no CSV file, and was not read: unpack it, or export the table again")
        if not paths:
            continue
        if table is None:
            refuse(str(place), f"{model} does not describe this table")
            continue
        files += [_File(path, place.name, table.attributes, entity) for path in paths]
    return files


# --- rows -------------------------------------------------------------------------------------------------------------


def _events(file: _File, prefix: str, refuse: Refuse) -> Iterator[tuple[NewRecord, int]]:
    """Encode the rows of a file into events of bounded size, each with its number of rows."""
    topic = next(topic for topic in CHANGES if topic.name.startswith(file.entity.source)).full_name(prefix)
    headers = ((TABLE, file.table.encode()),)
    held: list[bytes] = []
    size = 0
    for row in _rows(file, refuse):
        if held and size + len(row) > EVENT_BYTES:
            yield NewRecord(topic, None, b"[" + b",".join(held) + b"]", headers), len(held)
            held, size = [], 0
        held.append(row)
        size += len(row) + 1
    if held:
        yield NewRecord(topic, None, b"[" + b",".join(held) + b"]", headers), len(held)


def _rows(file: _File, refuse: Refuse) -> Iterator[bytes]:
    names = [attribute.name for attribute in file.attributes]
    least = names.index("IsDelete") + 1 if "IsDelete" in names else len(names)
    widest = number = 0
    try:
        with file.path.open(encoding="utf-8-sig", newline="") as stream:
            for number, cells in enumerate(csv.reader(stream, strict=True), 1):
                if not cells:
                    continue
                if not max(least, widest) <= len(cells) <= len(names):
                    refuse(
                        f"{file.path}, row {number}",
                        f"it has {len(cells)} columns, and the model names {len(names)} of {file.table}",
                    )
                    continue
                widest = len(cells)
                columns = zip(file.attributes, cells, strict=False)
                row = _json({attribute.name: _value(text, attribute.type) for attribute, text in columns})
                if len(row) > ROW_BYTES_MAX:
                    refuse(f"{file.path}, row {number}", f"it has {len(row):,} bytes; the log takes {ROW_BYTES_MAX:,}")
                    continue
                yield row
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        refuse(f"{file.path}, after row {number}", f"the rest of the file cannot be read as CSV in UTF-8: {error}")


def _value(text: str, kind: str) -> Any:
    """Convert a cell by the data type of its column; an empty cell is null."""
    if not text:
        return None
    kind = kind.lower()
    if kind.startswith("int") and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "boolean":
        return _FLAGS.get(text.lower(), text)
    return text
