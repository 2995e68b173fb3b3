"""`tieout decode`: what a payload means, or why it is rejected."""

import json
from pathlib import Path

import pytest

from tests.support.commandline import Tieout, error_text
from tests.support.ingest_lines import posted_expense, process_message
from tests.support.payloads import EXAMPLES


@pytest.mark.requirement("R4")
def test_decode_prints_a_change_under_the_fixed_names(tieout: Tieout, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_bytes(json.dumps(posted_expense("000123")["value"]).encode())
    (change,) = tieout("decode", "event.json").lines
    assert change.keys() == {
        "operation",
        "source",
        "entity",
        "id",
        "at",
        "event_id",
        "correlation_id",
        "version",
        "company",
        "columns",
        "truncated",
    }
    assert (change["operation"], change["entity"], change["at"]) == ("upsert", "TrvExpTrans", "2025-01-08T09:37:24Z")
    assert change["columns"]["AmountCurr"] == "100.00"


@pytest.mark.requirement("R4")
def test_decode_prints_heartbeats_and_process_messages(tieout: Tieout) -> None:
    said = json.dumps(process_message("Failed to confirm journal 1 in Dataverse.", "e1")["value"]).encode()
    assert tieout("decode", "-", stdin=said).lines[0]["code"] == "GJ_CONFIRM"
    heartbeat = {
        "specversion": "1.0",
        "id": "h",
        "source": "/finance/contoso",
        "type": "tieout.source.complete",
        "time": "2025-01-08T10:00:00Z",
        "data": {"until": "2025-01-08T09:00:00+01:00"},
    }
    (told,) = tieout("decode", "-", stdin=json.dumps(heartbeat).encode()).lines
    assert (told["operation"], told["until"]) == ("complete", "2025-01-08T08:00:00Z")


@pytest.mark.requirement("R2", "R3", "R9")
@pytest.mark.parametrize(
    ("example", "changes"),
    [
        ("dataverse-actual-cost-create", [("create", "msdyn_actual", "2025-01-08T09:38:03Z")]),
        ("dataverse-delta-response", [("upsert", "msdyn_actual", None), ("delete", "msdyn_actual", None)]),
        ("dataverse-truncated-update", [("notify", "msdyn_actual", "2025-01-09T02:00:11Z")]),
        (
            "fno-business-event-vendorinvoiceposted",
            [("notify", "VendorInvoicePostedBusinessEvent", "2025-01-08T10:59:58.294274Z")],
        ),
        ("fno-data-event-staging-deleted", [("delete", "mserp_projcdsactualsimportentity", "2025-01-10T02:00:10Z")]),
        ("fno-odata-page", [("upsert", "ProjCDSActualsImport", None)]),
    ],
)
def test_decode_prints_what_a_real_payload_says(
    tieout: Tieout, example: str, changes: list[tuple[str, str, str | None]]
) -> None:
    told = tieout("decode", str(EXAMPLES / f"{example}.json"))
    assert (told.code, told.err) == (0, "")
    assert [(line["operation"], line["entity"], line["at"]) for line in told.lines] == changes


@pytest.mark.requirement("R7")
def test_decode_prints_the_good_part_of_a_batch_and_the_reason_for_the_rest(tieout: Tieout) -> None:
    good = (EXAMPLES / "dataverse-delete.json").read_bytes()
    told = tieout("decode", "-", stdin=b"[" + good + b", {}]")
    assert [line["operation"] for line in told.lines] == ["delete"]
    assert told.code == 1
    assert "event 2 of 2: not an event this version knows" in told.err


@pytest.mark.requirement("R4")
def test_decode_reads_the_headers_of_a_binary_event(tieout: Tieout) -> None:
    value = posted_expense("000123")["value"]
    attributes = [f"--header=ce_{name}={value[name]}" for name in ("specversion", "id", "source", "type", "time")]
    (change,) = tieout("decode", "-", *attributes, stdin=json.dumps(value["data"]).encode()).lines
    assert change["id"] == "000123"


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "no body"),
        ((EXAMPLES / "dataverse-429.json").read_bytes(), "Number of requests exceeded the limit of 6000"),
        (b"{", "not JSON"),
        (b"[1", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"[]", "an array"),
        (b"{}", "specversion"),
        (b'{"specversion": "1.0", "type": "x"}', "unknown event type"),
    ],
)
def test_decode_ends_with_the_reason_when_an_event_is_rejected(tieout: Tieout, payload: bytes, reason: str) -> None:
    outcome = tieout("decode", "-", stdin=payload)
    assert reason in error_text(outcome)
    assert not outcome.out
