"""Ingests the CSV folders of Azure Synapse Link (R9): `tieout ingest --format synapse FOLDER`.

| path | content |
| --- | --- |
| `model.json` | schema: the tables, and their columns in file order |
| `TABLE/2025.csv` | rows of a table, without a header |
| `2025-01-08T09.00.00Z/` | incremental update: its own `model.json` and tables |
| `Changelog/changelog.info` | name of the incremental folder that is still being written |

Rows are sent as JSON (`streams.codec.exports`), several rows of a table in one event. New columns are appended, so
older rows in a file may be shorter, down to `IsDelete`; any other width means misaligned columns, and the row is
refused. The time of a delete is that of the export. Where a row of a later version was inserted under the same RecId in
the same export, the delete is put before it. Ingestion is incremental: a cursor stores the last incremental folder, or
size and time of each file. Ingestion is idempotent: rows that are read twice are the same events or the same values.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.cursors import Cursor, Cursors
from engine.errors import InputError, Rejected
from engine.events.facts import iso
from engine.mapping.compiler import EntityMap, Maps
from streams.codec import TABLE
from streams.codec.exports import changed_at, is_deleted, version_of
from streams.log import RECORD_BYTES_MAX, EventLog, NewRecord
from streams.topics import CHANGES
from tieout.maintenance.ingest import BATCH_BYTES, Ingested

EVENT_BYTES: Final = 256 * 1024
ROW_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_024
"""The limit of a row, which becomes an event together with the name of its table."""
MODEL_BYTES_MAX: Final = 64 * 1024 * 1024

_INTERVAL: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}[.:]\d{2}[.:]\d{2}(\.\d+)?Z?", re.ASCII | re.IGNORECASE)
_WHOLE: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_OF_ORDER: Final = frozenset(
    ["Id", "recid", "IsDelete", "versionnumber", "sysrowversion", "modifieddatetime", "modifiedon", "SinkModifiedOn"]
)
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
    again: Mapping[tuple[str, int], int]
    """Rows of the table that were inserted again after a delete: by RecId and version of the delete, the time of the
    first insert after it (microseconds since 1970 UTC).
    """


class _FileGroup(NamedTuple):
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
    cursor = (None if anew else cursors.load(table)) or Cursor(table=table)
    refused = 0

    def refusing(where: str, reason: str) -> None:
        nonlocal refused, cursor
        refused += 1
        cursor = msgspec.structs.replace(cursor, fault=cursor.fault or f"{where}: {reason}")
        refuse(where, reason)

    parts = _parts(folder, cursor.link, maps, refusing)
    total = sum(file.path.stat().st_size for part in parts for file in part.files)
    done = rows = 0
    batches = _Batches(log)
    for part in parts:
        for file in part.files:
            for record, count in _events(file, prefix, refusing):
                batches.add(record)
                rows += count
                on_progress(done, total, rows)
            done += file.path.stat().st_size
        batches.append()
        cursor = msgspec.structs.replace(cursor, link=part.link, rows=rows, passes=cursor.passes + 1)
        cursors.save(cursor)
        on_progress(done, total, rows)
    if refused:
        cursors.save(cursor)
    return Ingested(rows, refused)


class _Batches:
    """Appends log records in batches of at least `BATCH_BYTES`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._records: list[NewRecord] = []
        self._bytes = 0

    def add(self, record: NewRecord) -> None:
        self._records.append(record)
        self._bytes += len(record.value or b"")
        if self._bytes >= BATCH_BYTES:
            self.append()

    def append(self) -> None:
        """Append the records that no batch has taken yet, if there are any."""
        if self._records:
            self._log.append(self._records)
            self._records, self._bytes = [], 0


# --- files --------------------------------------------------------------------------------------------


def _parts(folder: Path, link: str | None, maps: Maps, refuse: Refuse) -> list[_FileGroup]:
    intervals = sorted(path for path in folder.iterdir() if path.is_dir() and _INTERVAL.fullmatch(path.name))
    if not intervals:
        if not (folder / "model.json").is_file():
            raise InputError(
                f"{folder} is no folder of Synapse Link: there is neither a model.json nor a folder of one."
            )
        return _changed(_files_of(folder, maps, refuse), folder, link)
    for table in sorted(path for path in folder.iterdir() if path.is_dir() and maps.find(path.name) is not None):
        refuse(str(table), "a table beside folders of intervals is not read: ingest its folder by itself")
    parts = []
    for interval in intervals:
        # model.json is written when the folder is complete; later folders cannot be complete before it.
        if interval.name == _being_written(folder) or not _is_complete(interval):
            break
        if link is None or interval.name > link:
            parts.append(_FileGroup(_files_of(interval, maps, refuse), interval.name))
    return parts


def _being_written(folder: Path) -> str:
    try:
        return (folder / "Changelog" / "changelog.info").read_text(encoding="utf-8")[:100].strip().strip("/")
    except (OSError, UnicodeDecodeError):
        return ""


def _is_complete(interval: Path) -> bool:
    model = interval / "model.json"
    return model.is_file() and model.stat().st_size > 0


def _changed(files: list[_File], folder: Path, link: str | None) -> list[_FileGroup]:
    """Return the files that are new or have changed since the last run."""
    read = _files.decode(link) if link is not None and link.startswith("{") else {}
    sizes = {}
    for file in files:
        stat = file.path.stat()
        sizes[str(file.path.relative_to(folder))] = f"{stat.st_size}/{stat.st_mtime_ns}"
    changed = [file for file in files if read.get(name := str(file.path.relative_to(folder))) != sizes[name]]
    return [_FileGroup(changed, _json(sizes).decode())] if changed else []


def _files_of(part: Path, maps: Maps, refuse: Refuse) -> list[_File]:
    """Return the files of the mapped tables that the model describes."""
    model = part / "model.json"
    try:
        with model.open("rb") as stream:
            schema = _model.decode(stream.read(MODEL_BYTES_MAX))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(str(model), f"no model of Synapse Link, so nothing beside it can be read: {error}")
        return []
    tables = {table.name.lower(): table for table in schema.entities}
    files = []
    for folder in sorted(path for path in part.iterdir() if path.is_dir()):
        entity, table = maps.find(folder.name), tables.get(folder.name.lower())
        if entity is None or entity.role.name == "later":
            continue
        inside = sorted(path for path in folder.rglob("*") if path.is_file())
        paths = [path for path in inside if path.suffix.lower() == ".csv"]
        for path in inside:
            if path not in paths and path.suffix.lower() != ".json":
                refuse(str(path), "it is no CSV file, and was not read: unpack it, or export the table again")
        if not paths:
            continue
        if table is None:
            refuse(str(folder), f"{model} does not describe this table")
            continue
        again = _inserted_again(paths, table.attributes)
        files += [_File(path, folder.name, table.attributes, entity, again) for path in paths]
    return files


def _inserted_again(paths: Sequence[Path], attributes: list[_Attribute]) -> dict[tuple[str, int], int]:
    """Return the value of `_File.again`. Faults are ignored here; `_rows` reports them."""
    deletes: dict[str, list[int]] = {}
    for row in _in_all(paths, attributes):
        if _is_deleted(row) and (version := version_of(row)):
            deletes.setdefault(str(row.get("recid") or row.get("Id")), []).append(version)
    inserted: dict[tuple[str, int], int] = {}
    for row in _in_all(paths, attributes) if deletes else ():
        name = str(row.get("recid") or row.get("Id"))
        if name not in deletes or _is_deleted(row) or (at := changed_at(row)) is None:
            continue
        for version in deletes[name]:
            if version < version_of(row):
                inserted[name, version] = min(at, inserted.get((name, version), at))
    return inserted


def _in_all(paths: Sequence[Path], attributes: list[_Attribute]) -> Iterator[dict[str, Any]]:
    """Yield the rows of several files, with the columns that determine their order only."""
    columns = [(number, attribute) for number, attribute in enumerate(attributes) if attribute.name in _OF_ORDER]
    for path in paths:
        with suppress(OSError, csv.Error, UnicodeDecodeError), path.open(encoding="utf-8-sig", newline="") as stream:
            for cells in csv.reader(stream, strict=True):
                yield {
                    attribute.name: _value(cells[number], attribute.type)
                    for number, attribute in columns
                    if number < len(cells)
                }


def _is_deleted(row: dict[str, Any]) -> bool:
    try:
        return is_deleted(row.get("IsDelete"))
    except Rejected:
        return False


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
                values = {attribute.name: _value(text, attribute.type) for attribute, text in columns}
                if file.again and (at := _inserted_after(file, values)) is not None:
                    values["SinkModifiedOn"] = iso(at - 1)
                row = _json(values)
                if len(row) > ROW_BYTES_MAX:
                    refuse(f"{file.path}, row {number}", f"it has {len(row):,} bytes; the log takes {ROW_BYTES_MAX:,}")
                    continue
                yield row
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        refuse(f"{file.path}, after row {number}", f"the rest of the file cannot be read as CSV in UTF-8: {error}")


def _inserted_after(file: _File, values: dict[str, Any]) -> int | None:
    """Return the time at which a deleted row was inserted again; None if it was not."""
    name = str(values.get("recid") or values.get("Id"))
    return file.again.get((name, version_of(values))) if _is_deleted(values) else None


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
