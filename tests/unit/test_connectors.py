"""Calls to Dataverse and Finance: what is sent, what comes back, and what never leaves."""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from handlers.api.connection import Connection
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.errors import (
    Changed,
    Configuration,
    Missing,
    OutgoingOff,
    Permanent,
    TargetError,
    Throttled,
    TokenExpired,
    Transient,
)
from handlers.processes import Processes, Target, read_target

ORG = "https://org.crm4.dynamics.com/api/data/v9.2"
FIN = "https://contoso.operations.dynamics.com/data"
ROW = "0f1c0000-0000-4000-8000-000000000001"

Handler = Callable[[httpx.Request], httpx.Response]


class OneToken:
    """Gives `token`, and after each refusal another."""

    def __init__(self) -> None:
        self.number = 1

    def token(self) -> str:
        return f"token-{self.number}"

    def refused(self, token: str) -> None:
        self.number += 1


def connection(handler: Handler, address: str = ORG, *, on: bool = True) -> Connection:
    http = httpx.Client(transport=httpx.MockTransport(handler))
    return Connection(
        http, address, OneToken(), may_change=lambda: on, clock=lambda: datetime(2025, 1, 8, 12, tzinfo=UTC)
    )


def dataverse(handler: Handler, *, on: bool = True) -> Dataverse:
    return Dataverse(connection(handler, on=on))


def finance(handler: Handler, *, on: bool = True) -> Finance:
    return Finance(connection(handler, FIN, on=on))


def refusal(status: int, code: str = "", message: str = "", headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}}, headers=headers)


def inner(status: int, message: str) -> httpx.Response:
    """A refusal as Finance words it."""
    error = {"code": "", "message": "An error has occurred.", "innererror": {"message": message}}
    return httpx.Response(status, json={"error": error})


# --- what follows which answer ----------------------------------------------------------------------------------------

CONFLICT = "Cannot edit a record in Expenses (TrvExpTrans). An update conflict occurred due to another user process"

ANSWERS: list[tuple[str, httpx.Response, type[TargetError]]] = [
    ("too many requests", refusal(429, "0x80072322", "Number of requests exceeded the limit of 6000"), Throttled),
    ("too much time", refusal(429, "0x80072321", "Combined execution time of incoming requests exceeded"), Throttled),
    ("too many at once", refusal(429, "0x80072326", "Number of concurrent requests exceeded the limit"), Throttled),
    ("throttled by resources", httpx.Response(429, text="system experiencing high resource utilization"), Throttled),
    ("throttled under another status", refusal(503, "0x80072322", "Number of requests exceeded"), Throttled),
    ("unavailable", httpx.Response(503), Transient),
    ("bad gateway, as a web page", httpx.Response(502, html="<h1>Bad Gateway</h1>"), Transient),
    ("gateway timeout", httpx.Response(504), Transient),
    ("server error", refusal(500, "0x80040216", "An unexpected error occurred."), Transient),
    ("timeout of its database", refusal(500, "0x80044151", "SQL timeout expired."), Transient),
    ("request timeout", httpx.Response(408), Transient),
    ("update conflict in Finance", inner(500, CONFLICT), Transient),
    ("update conflict as a bad request", inner(400, CONFLICT), Transient),
    ("row changed", refusal(412, "0x80060882", "The version of the existing record doesn't match"), Changed),
    ("row there already", refusal(412, "0x80040237", "A record with matching key values already exists."), Changed),
    ("key taken", refusal(400, "0x80060892", "A record that has the attribute values already exists."), Changed),
    ("not signed in", refusal(401), Configuration),
    ("no user here", refusal(403, "0x80072560", "The user is not a member of the organization."), Configuration),
    ("privilege missing", refusal(403, "0x80040220", "missing prvWritemsdyn_journal privilege"), Configuration),
    ("access denied at the gate", httpx.Response(403, html="<h1>403</h1>"), Configuration),
    ("no such action", refusal(404, "0x8006088a", "Resource not found for the segment 'x'."), Configuration),
    ("no such address", refusal(404, "", "No HTTP resource was found that matches the request URI"), Configuration),
    ("no such column", refusal(400, "0x0", "Could not find a property named 'Name' on type 'account'."), Configuration),
    ("wrong method", httpx.Response(405), Configuration),
    ("sent to a sign-in page", httpx.Response(302, headers={"location": "https://login.example.com"}), Configuration),
    ("lookup that is not there", refusal(404, "0x80060891", "A record with the specified key"), Configuration),
    ("currency missing", refusal(400, "0x80040265", "Currency EUR does not exist."), Configuration),
    ("unit unknown", inner(400, "Unable to resolve unit of measure 'box'."), Configuration),
    ("product missing", inner(400, "Product id is mandatory."), Configuration),
    ("task ambiguous", refusal(400, "0x80040265", "Could not resolve project task for export expense"), Configuration),
    ("period closed", inner(400, "No open fiscal period was found for the date 1/8/2025."), Configuration),
    ("no such row", refusal(404, "0x80040217", "msdyn_actual With Id = … Does Not Exist"), Missing),
    ("no such row in Finance", httpx.Response(404), Missing),
    ("delta token too old", refusal(400, "0x80044352", "Version stamp has expired."), TokenExpired),
    ("gone", httpx.Response(410), TokenExpired),
    ("refused by a rule", refusal(400, "0x80040265", "Actuals cannot be created by users."), Permanent),
    ("refused by a rule, as a server error", refusal(500, "0x80040265", "Actuals cannot be created."), Permanent),
    ("bad data", refusal(400, "0x80048d19", "Error identified in Payload provided by the user"), Permanent),
    ("too large", httpx.Response(413), Permanent),
]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(("answer", "kind"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_an_answer_says_what_follows(answer: httpx.Response, kind: type[TargetError]) -> None:
    with pytest.raises(TargetError) as raised:
        dataverse(lambda request: answer).act("contoso_Approve", {"expense": ROW})
    assert type(raised.value) is kind
    text = str(raised.value)
    assert text.startswith(f"POST contoso_Approve: {answer.status_code}")
    assert text.count(". ") >= 1, "what happened, and what to do"


def error_of_missing_response(error: Exception, cause: BaseException | None = None) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error from cause

    return handler


SILENCE: list[tuple[str, Handler, type[TargetError], bool]] = [
    ("timeout", error_of_missing_response(httpx.ReadTimeout("slow")), Transient, True),
    ("lost answer", error_of_missing_response(httpx.RemoteProtocolError("closed")), Transient, True),
    ("connection reset", error_of_missing_response(httpx.ReadError("reset")), Transient, True),
    ("no connection in time", error_of_missing_response(httpx.ConnectTimeout("slow")), Transient, False),
    ("refused", error_of_missing_response(httpx.ConnectError("refused"), ConnectionRefusedError()), Transient, False),
    (
        "unknown host",
        error_of_missing_response(httpx.ConnectError("no"), socket.gaierror(socket.EAI_NONAME, "unknown")),
        Configuration,
        False,
    ),
    (
        "no name server for now",
        error_of_missing_response(httpx.ConnectError("no"), socket.gaierror(socket.EAI_AGAIN, "later")),
        Transient,
        False,
    ),
    (
        "untrusted certificate",
        error_of_missing_response(
            httpx.ConnectError("tls"), ssl.SSLCertVerificationError(1, "certificate has expired")
        ),
        Configuration,
        False,
    ),
]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(("handler", "kind", "unknown"), [case[1:] for case in SILENCE], ids=[c[0] for c in SILENCE])
def test_no_answer_says_whether_the_call_may_have_taken_effect(
    handler: Handler, kind: type[TargetError], unknown: bool
) -> None:
    with pytest.raises(TargetError) as raised:
        dataverse(handler).act("contoso_Approve", {})
    assert type(raised.value) is kind
    assert raised.value.outcome_unknown is unknown


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, html="<html>Sign in</html>"), Configuration),
        (httpx.Response(200, content=b'{"value": [{"a"', headers={"content-type": "application/json"}), Transient),
        (httpx.Response(200, json=["a", "list"]), Transient),
        (httpx.Response(200, json={"no": "rows"}), Permanent),
    ],
    ids=["a web page", "cut", "a list", "no rows"],
)
def test_a_good_answer_that_holds_no_rows_is_never_an_empty_table(
    answer: httpx.Response, kind: type[TargetError]
) -> None:
    with pytest.raises(TargetError) as raised:
        list(dataverse(lambda request: answer).pages("msdyn_actuals"))
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "17"}, 17.0), ({}, None), ({"Retry-After": "soon"}, None)]
)
def test_retry_after_is_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(Throttled) as raised:
        dataverse(lambda request: refusal(429, headers=headers)).read("msdyn_actuals", ROW)
    assert raised.value.retry_after == seconds


# --- the switch -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R49")
def test_nothing_that_changes_a_system_leaves_before_outgoing_calls_are_switched_on() -> None:
    sent = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        return httpx.Response(200, json={"value": []})

    off = dataverse(handler, on=False)
    for call in (
        lambda: off.upsert("msdyn_journals", {"msdyn_description": "USPM-000095"}, {}),
        lambda: off.act("contoso_Approve", {}),
        lambda: finance(handler, on=False).requeue(5637144576),
    ):
        with pytest.raises(OutgoingOff, match="TIEOUT_OUTGOING=true"):
            call()
    assert sent == []
    assert list(off.pages("msdyn_actuals"))
    assert sent == ["GET"]


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_row_is_read_with_its_etag_and_its_digits() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == f"{ORG}/msdyn_actuals({ROW})?$select=msdyn_amount,modifiedon"
        assert request.headers["Authorization"] == "Bearer token-1"
        return httpx.Response(200, content=b'{"@odata.etag": "W/\\"7\\"", "msdyn_amount": 100.10}')

    row = dataverse(handler).read("msdyn_actuals", ROW, select=["msdyn_amount", "modifiedon"])
    assert (row.etag, row.columns["msdyn_amount"]) == ('W/"7"', "100.10")


def test_a_row_counts_as_read_before_the_request_by_the_systems_own_clock() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={}, headers={"Date": "Wed, 08 Jan 2025 18:00:07 GMT"})

    answered = dataverse(handler).read("msdyn_actuals", ROW).answered
    assert datetime(2025, 1, 8, 18, 0, 2, tzinfo=UTC) < answered <= datetime(2025, 1, 8, 18, 0, 7, tzinfo=UTC)
    without = dataverse(lambda request: httpx.Response(200, json={})).read("msdyn_actuals", ROW)
    assert without.answered == datetime(2025, 1, 8, 12, tzinfo=UTC)


def test_pages_are_followed_to_the_end_and_the_delta_link_is_for_next_time() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url).removeprefix(f"{ORG}/"))
        assert "odata.track-changes" in request.headers["Prefer"]
        if "skiptoken" in str(request.url):
            return httpx.Response(
                200, json={"value": [{"n": 2}], "@odata.deltaLink": f"{ORG}/msdyn_actuals?$deltatoken=9"}
            )
        return httpx.Response(200, json={"value": [{"n": 1}], "@odata.nextLink": f"{ORG}/msdyn_actuals?$skiptoken=1"})

    api = dataverse(handler)
    pages = list(api.changes("msdyn_actuals", select=["modifiedon"]))
    assert [page.rows for page in pages] == [[{"n": 1}], [{"n": 2}]]
    assert [page.delta for page in pages] == [None, f"{ORG}/msdyn_actuals?$deltatoken=9"]
    list(api.changes("msdyn_actuals", since=pages[0].next))
    assert asked == [
        "msdyn_actuals?$select=modifiedon",
        "msdyn_actuals?$skiptoken=1",
        "msdyn_actuals?$skiptoken=1",
    ]


@pytest.mark.requirement("R45")
@pytest.mark.parametrize(
    ("only", "etag", "header", "status", "outcome"),
    [
        (None, None, None, 201, "created"),
        (None, None, None, 200, "updated"),
        ("create", None, ("If-None-Match", "*"), 201, "created"),
        ("create", None, ("If-None-Match", "*"), 412, "exists"),
        ("update", None, ("If-Match", "*"), 200, "updated"),
        ("update", 'W/"7"', ("If-Match", 'W/"7"'), 200, "updated"),
        (None, 'W/"7"', ("If-Match", 'W/"7"'), 200, "updated"),
    ],
)
def test_an_upsert_names_its_row_by_the_alternate_key(
    only: Any, etag: str | None, header: tuple[str, str] | None, status: int, outcome: str
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.method == "PATCH"
        assert str(request.url) == f"{ORG}/msdyn_journals(msdyn_description='USPM%2F''95')"
        conditions = [
            (name, request.headers[name]) for name in ("If-Match", "If-None-Match") if name in request.headers
        ]
        assert conditions == ([header] if header else [])
        assert msgspec.json.decode(request.content) == {"msdyn_isposted": False}
        return httpx.Response(status, json={} if status < 300 else {"error": {"code": "0x80040237", "message": ""}})

    key = {"msdyn_description": "USPM/'95"}
    assert dataverse(handler).upsert("msdyn_journals", key, {"msdyn_isposted": False}, only=only, etag=etag) == outcome


def test_a_row_that_was_changed_meanwhile_is_not_overwritten() -> None:
    with pytest.raises(Changed):
        dataverse(lambda request: refusal(412, "0x80060882")).upsert("msdyn_journals", ROW, {}, etag='W/"7"')


def test_finance_is_asked_across_companies_and_by_all_keys() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url).removeprefix(f"{FIN}/"))
        return httpx.Response(200, json={"value": []})

    api = finance(handler)
    list(api.pages("ProjCDSActualsImports", companies=["USPM", "GBPM"], where="IsProcessed eq 0"))
    api.read("TrvExpTranss", {"dataAreaId": "uspm", "RecId": 5637144576})
    assert [httpx.URL(f"{FIN}/{address}").params.get("cross-company") for address in asked] == ["true", "true"]
    assert httpx.URL(f"{FIN}/{asked[0]}").params["$filter"] == (
        "(dataAreaId eq 'uspm' or dataAreaId eq 'gbpm') and (IsProcessed eq 0)"
    )
    assert asked[1] == "TrvExpTranss(dataAreaId='uspm',RecId=5637144576)?cross-company=true"


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(
    ("process", "written", "target"),
    [
        ("import", "batch-job:5637144576", Target(batch_job=5637144576)),
        ("import", "ProjectOperations/importFromStaging", Target(action="importFromStaging", on="ProjectOperations")),
        (
            "export",
            "ProjectOperations/Microsoft.Dynamics.DataEntities.export",
            Target(action="export", on="ProjectOperations"),
        ),
        ("approval", "contoso_Approve", Target(action="contoso_Approve")),
        ("import", "importFromStaging", None),
        ("approval", "batch-job:5637144576", None),
        ("import", "https://elsewhere.example.com/action", None),
    ],
)
def test_a_setting_names_an_action_or_a_batch_job(process: str, written: str, target: Target | None) -> None:
    assert read_target(process, written) == target


@pytest.mark.requirement("R42")
def test_a_process_without_a_setting_says_which_one() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    processes = Processes(finance(handler), dataverse(handler), {})
    with pytest.raises(Configuration, match="TIEOUT_PROCESS_IMPORT"):
        processes.start("import", {"company": "USPM"})


@pytest.mark.requirement("R42")
def test_processes_are_started_where_the_settings_say() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, str(request.url), msgspec.json.decode(request.content)))
        return httpx.Response(200, json={"IsSuccess": True})

    targets = {
        "import": Target(batch_job=5637144576),
        "posting": Target(action="post", on="ProjectOperations"),
        "approval": Target(action="contoso_Approve"),
    }
    processes = Processes(finance(handler), dataverse(handler), targets)
    processes.start("import", {"company": "USPM"})
    processes.start("posting", {"company": "USPM"})
    processes.start("approval", {"expense": ROW})
    assert asked == [
        (
            "POST",
            f"{FIN}/BatchJobs/Microsoft.Dynamics.DataEntities.SetBatchJobToWaiting",
            {"batchJobId": 5637144576},
        ),
        ("POST", f"{FIN}/ProjectOperations/Microsoft.Dynamics.DataEntities.post", {"company": "USPM"}),
        ("POST", f"{ORG}/contoso_Approve", {"expense": ROW}),
    ]


def test_a_batch_job_that_was_not_put_back_is_an_error_although_it_is_answered_200() -> None:
    answer = httpx.Response(200, json={"IsSuccess": False, "ExceptionDetails": "Job 1 is executing"})
    with pytest.raises(Permanent, match="Job 1 is executing"):
        finance(lambda request: answer).requeue(1)


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_refused_token_is_renewed_once_and_the_call_made_again() -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(401) if len(seen) == 1 else httpx.Response(200, json={})

    dataverse(handler).read("msdyn_actuals", ROW)
    assert seen == ["Bearer token-1", "Bearer token-2"]


def test_a_second_refusal_is_for_a_person() -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401)

    with pytest.raises(Configuration, match="Register the application as a user"):
        dataverse(handler).read("msdyn_actuals", ROW)
    assert len(seen) == 2
