"""docs/asyncapi.json is generated from the code, and describes the messages that are sent."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.embedded.log import EmbeddedLog
from streams.topics import TOPICS
from tests.support.payloads import EXAMPLES
from tests.support.schemas import faults
from tieout.cli import main
from tieout.simulator import ingest_lines, simulate
from tools.asyncapi import FILE, MESSAGES, text

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
SCHEMAS = DOCUMENT["components"]["schemas"]


def misfits(value: Any, message: str) -> list[str]:
    """Yield where a value does not match its schema; a member that the schema does not contain is a mismatch."""
    schema = DOCUMENT["components"]["messages"][message]["payload"]
    found = faults(value, schema, SCHEMAS)
    if "$ref" in schema:
        told = SCHEMAS[schema["$ref"].rpartition("/")[2]]["properties"]
        found += [f"$: {name} is not told" for name in value.keys() - told.keys()]
    return found


def test_the_document_is_that_of_the_code() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "make asyncapi"


def test_every_topic_is_a_channel_with_its_messages() -> None:
    channels = DOCUMENT["channels"]
    assert {channel["address"] for channel in channels.values()} == {f"{{prefix}}.{name}" for name in TOPICS}
    carried = {ref["$ref"] for channel in channels.values() for ref in channel["messages"].values()}
    assert carried == {f"#/components/messages/{name}" for name in MESSAGES}


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for inner in value.values() for ref in references(inner)]
    return [ref for inner in value for ref in references(inner)] if isinstance(value, list) else []


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        place = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def said(text: str) -> dict[str, Any]:
    """A message of a process in Finance."""
    return {
        "specversion": "1.0",
        "id": text,
        "source": "/finance/contoso",
        "type": "tieout.process.message",
        "time": "2025-01-08T17:30:00Z",
        "data": {"process": "general-journal-sync", "run": "run-42", "company": "USPM", "text": text},
    }


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What a worker sent of the simulated company, an event that was cut, a business event, and one of no map."""
    folder: Path = tmp_path_factory.mktemp("sent")
    lines = [*ingest_lines(simulate(deliver=False).events)]
    names = ("dataverse-truncated-update", "fno-business-event-vendorinvoiceposted", "dataverse-429")
    values = [json.loads((EXAMPLES / f"{name}.json").read_bytes()) for name in names]
    for value in (*values, said("Failed to confirm journal 5541230 in Dataverse."), said("Something else.")):
        line = {"topic": "dataverse.changes", "headers": {"x": "y"}, "key": "k", "value": value}
        lines.append(json.dumps(line).encode() + b"\n")
    (folder / "events.jsonl").write_bytes(b"".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in (("BROKER", "embedded:///log.sqlite"), ("STORE", "sqlite:///store.sqlite")):
            patch.setenv(f"TIEOUT_{name}", value)
        assert main(["ingest", "events.jsonl"]) == 0
        assert main(["run", "--until-caught-up"]) == 0
    log = EmbeddedLog.open(folder / "log.sqlite", "read")
    try:
        topics = {name: log.read(f"tieout.{name}", 0, 0, 100_000, 2**30) for name in TOPICS}
    finally:
        log.close()
    return {
        name: [msgspec.json.decode(record.value) for record in records if record.value]
        for name, records in topics.items()
    }


@pytest.mark.parametrize(
    ("topic", "message"),
    [("positions", "position"), ("errors", "error"), ("rejected", "rejection"), ("commands", "command")],
)
def test_what_is_sent_fits_its_schema(sent: dict[str, list[Any]], topic: str, message: str) -> None:
    assert sent[topic], f"nothing was sent on {topic}"
    assert [found for value in sent[topic] for found in misfits(value, message)] == []


def test_what_is_taken_fits_one_of_its_schemas(sent: dict[str, list[Any]]) -> None:
    for topic in ("finance.changes", "dataverse.changes"):
        assert sent[topic]
        for value in sent[topic]:
            if value.get("status") != 429:
                assert [] in [faults(value, {"$ref": name}, SCHEMAS) for name in schemas_of(topic)]


def schemas_of(topic: str) -> list[str]:
    refs = DOCUMENT["channels"][topic.replace(".", "_")]["messages"]
    payloads = [DOCUMENT["components"]["messages"][name]["payload"] for name in refs]
    return [option["$ref"] for payload in payloads for option in payload.get("anyOf", [payload])]


FAMILIES = {"dataverse-": "context", "fno-data-": "context", "fno-business-": "business", "fno-odata-": "answer"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_the_examples_fit_the_schema_of_their_family(path: Path) -> None:
    value = json.loads(path.read_bytes())
    if "@odata.context" in value:
        message = "answer"
    elif path.stem == "dataverse-429":
        return
    else:
        message = next(name for start, name in FAMILIES.items() if path.stem.startswith(start))
    schema = DOCUMENT["components"]["messages"][message]["payload"]
    assert faults(value, schema, SCHEMAS) == []


def test_the_validator_finds_what_does_not_fit(sent: dict[str, list[Any]]) -> None:
    good = sent["positions"][0]
    assert misfits({**good, "position": "lost"}, "position")
    assert misfits({**good, "further": 1}, "position")
    assert misfits({**good, "findings": [1]}, "position")
    assert misfits({name: value for name, value in good.items() if name != "document"}, "position")


def test_what_the_page_of_the_topics_shows_fits_the_schemas() -> None:
    shown = re.findall(
        r"^```json\n(.*?)^```$", (FILE.parent / "topics.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    messages = ("command", "answered", "deletion", "sync", "position", "error", "state", "rejection")
    assert [misfits(json.loads(block), name) for block, name in zip(shown, messages, strict=True)] == [[]] * 8
