"""Folders of Synapse Link: read once, oldest first, each row whole or refused with its place (R9)."""

import csv
import io
import json
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.events.facts import Change
from streams.codec import decode
from streams.embedded.log import EmbeddedLog
from streams.log import LogRecord
from streams.topics import CHANGES, DEFAULT_PREFIX
from tests.support.commandline import Tieout, typist
from tests.support.memory_ports import MemoryCursors
from tests.support.stores import MAPS
from tieout.maintenance.ingest import Ingested
from tieout.maintenance.synapse import ingest_folder
from tieout.simulator import ingest_lines
from tieout.simulator.large import LargeCompany
from tieout.simulator.scenario import Label

pytestmark = pytest.mark.requirement("R91")

Json = dict[str, Any]
FIRST, SECOND, THIRD = "2025-01-08T09.00.00Z", "2025-01-08T10.00.00Z", "2025-01-08T11.00.00Z"
COLUMNS = ["Id", "SinkCreatedOn", "SinkModifiedOn", "projtransid", "amountcurr", "transdate", "recid", "dataareaid"]
COLUMNS += ["versionnumber", "IsDelete"]
TYPES = {"recid": "int64", "versionnumber": "int64", "IsDelete": "boolean", "amountcurr": "decimal"}


def model(**tables: list[str]) -> str:
    entities = [
        {
            "$type": "LocalEntity",
            "name": table,
            "attributes": [{"name": name, "dataType": TYPES.get(name, "string")} for name in names],
        }
        for table, names in tables.items()
    ]
    return json.dumps({"name": "cdm", "version": "1.0", "entities": entities})


def cells(record: int, *more: str, name: str = "EX, 1", version: int = 1, deleted: str = "") -> list[str]:
    at = "1/8/2025 9:45:00 AM"
    day = "2025-01-08T00:00:00.0000000"
    return [f"id-{record}", at, at, name, "77.50", day, str(record), "uspm", str(version), deleted, *more]


def written(*rows: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


class Lake:
    """A folder as Synapse Link writes it, and what was read of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "lake"
        self.folder.mkdir()
        self.log = EmbeddedLog.open(folder / "log.sqlite", "write")
        self.log.create_topics(CHANGES, 1)
        self.cursors = MemoryCursors()
        self.refused: list[str] = []

    def interval(self, name: str, columns: list[str] | None = None, **files: str) -> Path:
        part = self.folder / name
        for table, content in files.items():
            (part / table).mkdir(parents=True)
            (part / table / "2025.csv").write_text(content, encoding="utf-8")
        (part / "model.json").write_text(model(**dict.fromkeys(files, columns or COLUMNS)))
        return part

    def read(self, *, anew: bool = False) -> Ingested:
        return ingest_folder(
            self.log,
            self.folder,
            MAPS,
            self.cursors,
            prefix=DEFAULT_PREFIX,
            anew=anew,
            refuse=lambda where, reason: self.refused.append(f"{where}: {reason}"),
        )

    def records(self) -> list[LogRecord]:
        return [
            record for topic in CHANGES for record in self.log.read(topic.full_name(), 0, 0, 1_000_000, 1_000_000_000)
        ]

    def changes(self) -> list[Change]:
        facts = [fact for record in self.records() for fact in decode(record.value, record.headers, record)]
        return [fact for fact in facts if isinstance(fact, Change)]


@pytest.fixture
def lake(tmp_path: Path) -> Any:
    made = Lake(tmp_path)
    with closing(made.log):
        yield made


@pytest.mark.requirement("R9", "R12")
def test_a_row_that_was_deleted_and_inserted_again_within_one_export_is_there(lake: Lake) -> None:
    """As updates from a spreadsheet make it: the delete has the time of the export, the insert its own."""
    names = [*COLUMNS, "modifieddatetime"]

    def at(time: str, record: int, version: int, deleted: str = "") -> list[str]:
        return cells(record, f"2025-01-08T{time}Z" if time else "", version=version, deleted=deleted)

    table = lake.interval(FIRST, names, trvexptrans=written(at("09:40:00", 1, 1000), at("", 1, 1001, "True"))).joinpath(
        "trvexptrans"
    )
    rows = [at("09:41:12", 1, 1002), at("09:40:00", 2, 1003), at("", 2, 1004, "True"), at("09:40:30", 2, 1005)]
    rows += [at("", 2, 1006, "True"), at("09:40:00", 3, 1007), at("", 3, 1008, "True")]
    (table / "2026.csv").write_text(written(*rows), encoding="utf-8")
    lake.read()
    told: dict[str, list[str]] = {}
    for change in sorted(lake.changes(), key=lambda change: change.evidence.precedence):
        told.setdefault(change.id, []).append(change.operation)
    assert told == {
        "1": ["upsert", "delete", "upsert"],
        "2": ["upsert", "delete", "upsert", "delete"],
        "3": ["upsert", "delete"],
    }
    assert lake.refused == []


@pytest.mark.requirement("R7", "R9")
def test_what_lies_beside_the_files_that_are_read_is_read_or_named(lake: Lake) -> None:
    table = lake.interval(FIRST, trvexptrans=written(cells(1))) / "trvexptrans"
    (table / "2024.csv.gz").write_bytes(b"\x1f\x8b")
    (table / "trvexptrans.cdm.json").write_text("{}", encoding="utf-8")
    (table / "2026.CSV").write_text(written(cells(2)), encoding="utf-8")
    (table / "2027").mkdir()
    (table / "2027" / "01.csv").write_text(written(cells(3)), encoding="utf-8")
    (lake.folder / "vendinvoicetrans").mkdir()
    lake.read()
    assert len({change.id for change in lake.changes()}) == 3
    assert sorted(said.rpartition("/")[2] for said in lake.refused) == [
        "2024.csv.gz: it is no CSV file, and was not read: unpack it, or export the table again",
        "vendinvoicetrans: a table beside folders of intervals is not read: ingest its folder by itself",
    ]


@pytest.mark.requirement("R9")
def test_the_rows_of_mapped_tables_come_as_changes_under_the_names_of_the_model(lake: Lake) -> None:
    lake.interval(FIRST, trvexptrans=written(cells(1), cells(2, deleted="True")), custgroup=written(cells(3)))
    assert lake.read() == Ingested(2, 0)
    upserted, deleted = lake.changes()
    assert (upserted.operation, upserted.entity, upserted.id, upserted.company) == (
        "upsert",
        "trvexptrans",
        "1",
        "USPM",
    )
    assert (upserted.columns["projtransid"], upserted.columns["amountcurr"]) == ("EX, 1", "77.50")
    assert (deleted.operation, deleted.id) == ("delete", "2")
    assert {record.topic for record in lake.records()} == {"tieout.finance.changes"}


@pytest.mark.requirement("R9")
def test_what_was_read_is_not_read_again_unless_asked_and_what_is_being_written_is_not_read_yet(lake: Lake) -> None:
    lake.interval(FIRST, trvexptrans=written(cells(1)))
    lake.interval(SECOND, trvexptrans=written(cells(2)))
    lake.interval(THIRD, trvexptrans=written(cells(3)))
    (lake.folder / "Changelog").mkdir()
    (lake.folder / "Changelog" / "changelog.info").write_text(SECOND)
    assert lake.read().events == 1
    (lake.folder / "Changelog" / "changelog.info").write_text("2025-01-08T12.00.00Z")
    assert lake.read().events == 2
    assert lake.read().events == 0
    assert [change.id for change in lake.changes()] == ["1", "2", "3"]
    assert lake.read(anew=True).events == 3


@pytest.mark.requirement("R9")
def test_without_a_change_log_a_folder_without_its_model_is_one_that_is_being_written(lake: Lake) -> None:
    lake.interval(FIRST, trvexptrans=written(cells(1)))
    (lake.interval(SECOND, trvexptrans=written(cells(2))) / "model.json").write_text("")
    assert lake.read() == Ingested(1, 0)


@pytest.mark.requirement("R9")
def test_of_a_folder_that_is_kept_up_to_date_the_files_that_changed_are_read(lake: Lake) -> None:
    lake.interval(".", trvexptrans=written(cells(1)), msdyn_actual=written(cells(2)))
    assert lake.read().events == 2
    assert lake.read().events == 0
    with (lake.folder / "trvexptrans" / "2025.csv").open("a") as stream:
        stream.write(written(cells(3)))
    assert lake.read().events == 2


@pytest.mark.requirement("R9")
def test_a_column_that_was_added_later_is_missing_from_the_rows_before(lake: Lake) -> None:
    rows = written(cells(1), cells(2, "new"), cells(3, "newer"))
    lake.interval(FIRST, [*COLUMNS, "added"], trvexptrans=rows)
    assert lake.read() == Ingested(3, 0)
    assert [change.columns.get("added", "none") for change in lake.changes()] == ["none", "new", "newer"]


@pytest.mark.requirement("R7", "R9")
@pytest.mark.parametrize(
    ("rows", "place"),
    [
        (written(cells(1), cells(2, "x"), cells(3)), "row 2: it has 11 columns, and the model names 10 of trvexptrans"),
        (written(cells(1), cells(2)[:-1], cells(3)), "row 2: it has 9 columns"),
        (written(cells(1), cells(3)) + '"a"b', "after row 2: the rest of the file cannot be read as CSV"),
        (written(cells(1), cells(2, name="x" * 200_000), cells(3))[:300], "row 2"),
    ],
)
def test_a_row_that_may_stand_under_wrong_names_is_refused_with_its_place(lake: Lake, rows: str, place: str) -> None:
    lake.interval(FIRST, trvexptrans=rows)
    lake.interval(SECOND, trvexptrans=written(cells(7)))
    done = lake.read()
    assert done.refused == 1
    assert place in lake.refused[0]
    assert {"1", "7"} <= {change.id for change in lake.changes()}
    (cursor,) = lake.cursors.all()
    assert place in cursor.fault
    lake.read()
    (cursor,) = lake.cursors.all()
    assert place in cursor.fault, "it stands until everything is read anew"


@pytest.mark.requirement("R7", "R9")
def test_a_row_that_is_narrower_than_one_before_is_refused(lake: Lake) -> None:
    lake.interval(FIRST, [*COLUMNS, "added"], trvexptrans=written(cells(1, "new"), cells(2)))
    assert lake.read() == Ingested(1, 1)


@pytest.mark.requirement("R7", "R9")
@pytest.mark.parametrize(
    "content", ["{", "[]", '{"entities": [{"name": "other"}]}'], ids=["no JSON", "no model", "a table is missing"]
)
def test_a_model_that_does_not_tell_is_named_and_the_other_folders_are_read(lake: Lake, content: str) -> None:
    (lake.interval(FIRST, trvexptrans=written(cells(1))) / "model.json").write_text(content)
    lake.interval(SECOND, trvexptrans=written(cells(2)))
    assert lake.read() == Ingested(1, 1)
    assert FIRST in lake.refused[0]


@pytest.mark.requirement("R7")
def test_a_folder_of_something_else_is_refused(lake: Lake) -> None:
    with pytest.raises(InputError, match="no folder of Synapse Link"):
        lake.read()


@pytest.mark.requirement("R9")
def test_many_rows_go_out_in_events_of_bounded_size_each_row_once(lake: Lake) -> None:
    lake.interval(FIRST, trvexptrans=written(*(cells(number, name="x" * 400) for number in range(1, 2_001))))
    assert lake.read().events == 2_000
    assert len({change.id for change in lake.changes()}) == 2_000
    assert max(len(record.value or b"") for record in lake.records()) < 300_000


# --- the command ------------------------------------------------------------------------------------------------------


def exported(play: LargeCompany, folder: Path) -> list[Any]:
    """Finance's rows in one folder of an interval; the other events as they are."""
    rows: dict[str, list[Json]] = defaultdict(list)
    others = []
    for event in play.events():
        data = event.value.get("data", {})
        if event.value.get("type") != "tieout.row.changed" or not event.topic.startswith("finance"):
            others.append(event)
            continue
        row = {"recid": data["id"], "SinkModifiedOn": event.value["time"], "IsDelete": "", "dataareaid": ""}
        row |= {name.lower(): value for name, value in data.get("columns", {}).items()}
        row |= {"recid": data["id"], "dataareaid": (data.get("company") or "").lower()}
        row |= {"IsDelete": "True"} if data["operation"] == "delete" else {}
        rows[data["entity"].lower()].append(row)
    part = folder / FIRST
    tables = {}
    for table, some in rows.items():
        # An export has every row whole: what an event leaves out is as it was.
        known: dict[str, Json] = defaultdict(dict)
        whole = []
        for row in some:
            known[row["recid"]] = {**known[row["recid"]], **row}
            whole.append(known[row["recid"]])
        tables[table] = names = [*sorted({name for row in some for name in row} - {"IsDelete"}), "IsDelete"]
        (part / table).mkdir(parents=True)
        lines = [["" if (value := row.get(name)) is None else str(value) for name in names] for row in whole]
        (part / table / "2025.csv").write_text(written(*lines), encoding="utf-8")
    (part / "model.json").write_text(model(**tables))
    return others


@pytest.mark.requirement("R9", "R13")
def test_thirty_documents_whose_finance_rows_come_as_a_folder_stand_where_their_stories_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/log.sqlite",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/store.sqlite",
    }
    tieout: Tieout = typist(tmp_path, settings, monkeypatch, capfd)
    labels: list[Label] = []
    play = LargeCompany(30, 20_250_108, labels.append)
    others = exported(play, tmp_path / "lake")
    monkeypatch.setenv("TIEOUT_TODAY", play.today.isoformat())
    monkeypatch.setenv("TIEOUT_COMPANIES", ",".join(play.companies))
    (tmp_path / "others.jsonl").write_bytes(b"".join(ingest_lines(others)))
    first = tieout("ingest", "--format", "synapse", "lake")
    assert first.code == 0, first.err
    assert "rows ingested" in first.err
    assert "0 rows ingested" in tieout("ingest", "--format", "synapse", "lake").err
    assert tieout("ingest", "others.jsonl").code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    assert tieout("rejected", "list", "--json").lines == []
    shown: dict[str, Json] = {}
    ever = ("--from", "2000-01-01", "--to", "2099-12-31")
    for company in play.companies:
        for kind in ("expense", "vendor-invoice-line"):
            asked = ("--kind", kind, "--view", "all", "--company", company, *ever)
            shown |= {row["document"]: row for row in tieout("documents", *asked, "--json").lines}
    told = {label.document: (label.position, label.cause, label.excluded) for label in labels}
    assert {name: (row["position"], row["cause"], row["excluded"]) for name, row in shown.items()} == told
    poll = tieout("poll", "--show")
    assert "synapse/" in poll.out


def test_the_command_names_what_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tieout = typist(tmp_path, {"TIEOUT_BROKER": f"embedded:///{tmp_path}/log.sqlite"}, monkeypatch, capfd)
    (tmp_path / "events.jsonl").write_text("")
    assert "is not a folder" in tieout("ingest", "--format", "synapse", "events.jsonl").err
    assert "is a folder" in tieout("ingest", str(tmp_path)).err
