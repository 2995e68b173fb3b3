"""Finance business events: notices that carry keys (R3)."""

import json
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from engine.errors import Rejected
from engine.events.facts import Change
from streams.codec import ANSWERED, StaticLocation, change_json, decode
from tests.support.payloads import ACTUAL, DATAVERSE, MISSING, business, context, encoded, page
from tests.unit.test_codec_families import ROW


def one(event: dict[str, Any], **options: Any) -> Change:
    (fact,) = decode(json.dumps(event).encode(), **options)
    assert isinstance(fact, Change)
    return fact


@pytest.mark.requirement("R3")
def test_a_business_event_is_a_notice_under_its_name_with_the_members_of_its_contract() -> None:
    fact = one(business())
    assert (fact.operation, fact.source, fact.entity, fact.id) == (
        "notify",
        "finance",
        "VendorInvoicePostedBusinessEvent",
        "",
    )
    assert fact.columns == {"InvoiceId": "Inv-6"}
    assert fact.evidence.event == "3c47a4cd-6edc-4319-b893-3f862eed65fd"
    assert change_json(fact)["id"] is None


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    ("members", "company"),
    [
        ({}, "USPM"),
        ({"BusinessEventLegalEntity": MISSING, "LegalEntity": "SO01"}, "SO01"),
        ({"BusinessEventLegalEntity": "", "LegalEntity": "gbpm"}, "GBPM"),
        ({"BusinessEventLegalEntity": "0031"}, "0031"),
        ({"BusinessEventLegalEntity": 31}, "31"),
        ({"BusinessEventLegalEntity": MISSING}, None),
        ({"BusinessEventLegalEntity": []}, None),
    ],
)
def test_the_company_stands_in_one_of_two_members_or_in_none(members: dict[str, Any], company: str | None) -> None:
    assert one(business(**members)).company == company


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    ("members", "at"),
    [
        ({}, "2025-01-08T10:59:58Z"),
        ({"EventTimeIso8601": "2025-01-08T10:59:58.2942742Z"}, "2025-01-08T10:59:58.294274Z"),
        ({"EventTimeIso8601": "yesterday"}, "2025-01-08T10:59:58Z"),
        ({"EventTimeIso8601": "2025-01-08T10:59:58Z", "EventTime": MISSING}, "2025-01-08T10:59:58Z"),
    ],
)
def test_the_time_is_the_finer_of_two(members: dict[str, Any], at: str) -> None:
    assert change_json(one(business(**members)))["at"] == at


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("control", [MISSING, "5637611083", -(2**63), None, 2**70])
@pytest.mark.parametrize("event_id", [MISSING, None, "text", 5])
def test_what_identifies_an_event_may_be_missing_or_strange(control: Any, event_id: Any) -> None:
    assert one(business(ControlNumber=control, EventId=event_id)).columns == {"InvoiceId": "Inv-6"}


@pytest.mark.requirement("R2", "R3")
def test_a_member_of_an_unknown_kind_is_kept_and_marked() -> None:
    printed = change_json(one(business(Lines=[{"Amount": 1}])))
    assert printed["columns"]["Lines"] == [{"Amount": 1}]
    assert printed["unknown"] == ["Lines"]


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"BusinessEventId": ""}, "names no business event"),
        ({"BusinessEventId": None}, "names no business event"),
        ({"EventTime": MISSING}, "cannot be ordered"),
        ({"EventTime": 1736333998000}, "cannot be ordered"),
    ],
)
def test_a_business_event_without_a_name_or_a_time_is_rejected(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        one(business(**members))


NO_TIMES = ["/Date(-2208988800000)/", "1900-01-01T00:00:00Z", "/Date(-2208988800000+0200)/", "1899-12-31T23:00:00Z"]
NO_TIMES += ["/Date(-62135596800000)/", "0001-01-01T00:00:00Z"]


@pytest.mark.requirement("R3", "R7")
@pytest.mark.parametrize("none", NO_TIMES)
def test_an_empty_date_is_no_time(none: str) -> None:
    with pytest.raises(Rejected, match=r"cannot be ordered.*1900 means none"):
        one(business(EventTime=none, EventTimeIso8601=none))
    assert change_json(one(business(EventTimeIso8601=none)))["at"] == "2025-01-08T10:59:58Z"


@pytest.mark.requirement("R2", "R4", "R7")
@pytest.mark.parametrize("none", NO_TIMES)
def test_an_empty_date_is_no_time_in_any_family(none: str) -> None:
    assert change_json(one(context({"modifiedon": none})))["at"] == "2025-01-08T09:38:03Z"
    for event in (context({"modifiedon": none}, OperationCreatedOn=none), {**ROW, "time": none}):
        with pytest.raises(Rejected, match="cannot be ordered"):
            one(event)
    with pytest.raises(Rejected, match=ANSWERED):
        decode(encoded(page(DATAVERSE + "msdyn_actuals", ACTUAL)), [(ANSWERED, none.encode())])


TEST: Final = {
    "BusinessEventId": "BusinessEventsTestEndpointContract",
    "BusinessEventLegalEntity": "uspm",
    "ControlNumber": -(2**63),
    "EventId": "A94A8FE5-CCB1-11EF-A730-0873D391E987",
}


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("members", [{}, {"EventTime": "/Date(1736333998000)/"}, {"EventId": None}])
def test_the_test_of_an_endpoint_is_accepted_says_nothing_and_is_one_line_in_the_log(members: dict[str, Any]) -> None:
    with capture_logs() as lines:
        assert decode(encoded({**TEST, **members}), (), StaticLocation("tieout.finance.changes", 0, 7)) == []
    assert [line["event"] for line in lines] == ["endpoint_test_received"]


@pytest.mark.requirement("R85")
def test_a_business_event_names_no_environment_so_its_topic_must_be_the_environments_own() -> None:
    assert one(business(), environments=("contoso",)).evidence.source == "/finance"
