"""Look for bytes on which a codec does anything but decode or reject: `python -m tools.fuzz page --seconds 120`.

Coverage-guided, by Atheris, which is not locked with the rest: install it into the environment by `pip install
atheris`. What was run is written in docs/fuzzing.md. A failure leaves the bytes in a file `crash-…`, which
`tieout decode` reads again.
"""

import argparse
import base64
import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
EXAMPLES: Final = ROOT / "tests" / "data" / "events"
ROW: Final = {
    "specversion": "1.0",
    "id": "9f",
    "source": "/finance/contoso",
    "type": "tieout.row.changed",
    "time": "2025-01-08T09:37:24Z",
    "data": {"entity": "TrvExpTrans", "id": "5637144576", "operation": "upsert", "columns": {"AmountCurr": "100.00"}},
}
COMPLETE: Final = {**ROW, "type": "tieout.source.complete", "data": {"until": "2025-01-08T09:37:24Z"}}
PROCESS: Final = {
    **ROW,
    "type": "tieout.process.message",
    "data": {"process": "invoice-proposal", "run": "r", "text": "x"},
}
BINARY: Final = [(f"ce_{name}", str(ROW[name]).encode()) for name in ("specversion", "id", "source", "type", "time")]
ANSWERED: Final = [("tieout-answered-at", b"2025-01-09T12:00:00Z")]

# Words that a mutation of bytes would hardly find.
WORDS: Final = (
    '"MessageName"',
    '"PrimaryEntityId"',
    '"InputParameters"',
    '"Attributes"',
    '"__type"',
    '"Value"',
    '"EntityReference:"',
    '"Money:"',
    '"OptionSetValue:"',
    '"BusinessEventId"',
    '"@odata.context"',
    '"@odata.etag"',
    '"@removed"',
    '"specversion"',
    '"modifiedon"',
    "/Date(",
    "+0530)/",
    "mserp_",
    '"Key"',
    '"__value"',
    '"Targets"',
    '"Entities"',
    '"Body"',
    '"ContentData"',
    '"payload"',
    '"schema"',
    '"eventType"',
    '"body"',
    "null",
    "1e999",
    "\\\\u0000",
    "\\\\ud800",
)


def seeds(family: str) -> list[bytes]:
    """Good events of a family to start from."""
    if family in ("cloudevent", "binary"):
        events = [ROW, COMPLETE, PROCESS]
        return [json.dumps(event if family == "cloudevent" else event["data"]).encode() for event in events]
    pattern = {"context": "dataverse-*e.json", "data": "fno-data-*.json", "business": "fno-business-*.json"}
    if family in pattern:
        return [path.read_bytes() for path in sorted(EXAMPLES.glob(pattern[family]))]
    if family == "page":
        return [(EXAMPLES / f"{name}.json").read_bytes() for name in ("dataverse-delta-response", "fno-odata-page")]
    if family == "envelope":
        text = json.dumps(ROW)
        inside = base64.b64encode(text.encode()).decode()
        return [
            json.dumps({"SequenceNumber": 1, "EnqueuedTimeUtc": "x", "Body": {"bytes": text}}).encode(),
            json.dumps({"schema": None, "payload": {"messageBody": inside}}).encode(),
            json.dumps({"headers": {}, "body": {"ContentData": inside}}).encode(),
            json.dumps([{"eventType": "x", "data": ROW}, {"specversion": "1.0", "type": "x", "data": ROW}]).encode(),
        ]
    smallest = sorted(EXAMPLES.glob("*.json"), key=lambda path: path.stat().st_size)
    some = [json.loads(path.read_bytes()) for path in smallest]
    return [json.dumps(some[:4]).encode(), json.dumps([ROW, *some[:2]]).encode()]


FAMILIES: Final = ("context", "data", "business", "page", "cloudevent", "binary", "batch", "envelope")


def taken(value: bytes, headers: Any, maps: Any) -> None:
    """Decode, and use what comes out as the projector, `tieout decode` and `tieout maps explain` would."""
    from engine.chains.explain_event import reading
    from engine.chains.records import merge, new_record, record_key
    from engine.errors import Rejected
    from engine.events.facts import Change
    from streams.codec import PartlyRejected, change_json, decode

    try:
        facts = decode(value, headers, undated=True)
    except PartlyRejected as part:
        facts = part.facts
    except Rejected:
        return
    for fact in facts:
        if isinstance(fact, Change):
            json.dumps(change_json(fact))
            reading(fact, maps)
            entity_map = maps.find(fact.entity)
            if entity_map is not None and fact.operation != "notify":
                merge(new_record(entity_map, record_key(entity_map, fact.id)), fact, entity_map)


def main() -> None:
    """Fuzz one family."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("family", choices=FAMILIES)
    arguments.add_argument("--seconds", type=int, default=60)
    chosen = arguments.parse_args()
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        sys.exit("Atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["engine", "streams.codec"]):
        from tieout.maintenance.map_files import load_maps
        from tieout.settings import Settings

        import_module("engine.chains.explain_event")
        import_module("streams.codec")
    maps = load_maps(Settings())
    headers = BINARY if chosen.family == "binary" else ANSWERED
    with tempfile.TemporaryDirectory(prefix="tieout-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds(chosen.family)):
            # Small seeds first: a mutation of a small one is more often still an event.
            small = json.dumps(json.loads(seed), separators=(",", ":")).encode()
            (corpus / f"seed-{number}").write_bytes(small)
        words = Path(folder) / "words"
        words.write_text("".join('"' + word.replace('"', '\\"') + '"\n' for word in WORDS), encoding="utf-8")
        options = [f"-max_total_time={chosen.seconds}", "-max_len=8192", "-timeout=5", f"-dict={words}"]
        atheris.Setup([sys.argv[0], *options, str(corpus)], lambda value: taken(value, headers, maps))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
