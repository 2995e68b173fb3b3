"""Servers that are broken or hostile, over real connections: each ends in a classified failure, in bounded time."""

import gzip
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from handlers.api.bounded_exchange import Bounds, client
from handlers.api.connection import Connection
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.api.odata import Page
from handlers.api.service_limits import Limiter
from handlers.change_events import SourceEvent
from handlers.errors import (
    Configuration,
    Missing,
    Permanent,
    TargetError,
    Throttled,
    TokenExpired,
    Transient,
)
from handlers.poll import Poller, Table
from handlers.prerequisites import observe
from tests.support.hostile import Hostile, Script, hostile, reply, rows, zipped
from tests.support.memory_ports import MemoryCursors

API = "/api/data/v9.2"
BOUNDS = Bounds(answer_bytes=1_000_000, exchange_seconds=0.6, pages=20, read_seconds=5.0)
IN_TIME = 3.0
"""Seconds within which an exchange of these bounds has ended, on a busy machine."""


class SecretToken:
    def token(self) -> str:
        return "secret-token"

    def refused(self, token: str) -> None:
        pass


def connection(server: Hostile, bounds: Bounds = BOUNDS, limiter: Limiter | None = None) -> Connection:
    # The time-outs of httpx are longer than any of these tests: what ends them is the bounds.
    return Connection(client(timeout=60.0), server.address + API, SecretToken(), bounds=bounds, limiter=limiter)


def read(script: Script, bounds: Bounds = BOUNDS) -> list[dict[str, Any]]:
    """The rows of a table as this server gives them."""
    with hostile(script) as server:
        return [row for page in Dataverse(connection(server, bounds)).pages("msdyn_actuals") for row in page.rows]


def always(*pieces: bytes) -> Script:
    return lambda path: pieces


# --- bytes ------------------------------------------------------------------------------------------------------------


def endless(piece: bytes, seconds: float = 0.0) -> Iterator[bytes]:
    while True:
        time.sleep(seconds)
        yield piece


def chunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)


BOMB = gzip.compress(b" " * 300_000_000, 6)
TWICE = gzip.compress(gzip.compress(b'{"value": []}'))

TOO_LARGE: list[tuple[str, Script, str]] = [
    ("a bomb", always(reply(BOMB, headers={"Content-Encoding": "gzip"})), "larger than 1,000,000 bytes"),
    ("a large body", always(reply(b" " * 2_000_000)), "larger than"),
    ("a body without end", lambda path: chunked(endless(b" " * 10_000)), "larger than"),
    (
        "bytes without end behind a compressed body",
        lambda path: [reply(gzip.compress(b"{}") + b"\0" * 2_000_000, headers={"Content-Encoding": "gzip"})],
        "larger than",
    ),
    ("a large refusal", always(reply(b" " * 2_000_000, "400 Bad Request")), "larger than"),
    ("another compression", always(reply(b"x", headers={"Content-Encoding": "br"})), "'br'"),
    ("compressed twice", always(reply(TWICE, headers={"Content-Encoding": "gzip, gzip"})), "'gzip, gzip'"),
    ("not compressed at all", always(reply(b"{}", headers={"Content-Encoding": "gzip"})), "truncated or damaged"),
    (
        "a compressed body that is cut",
        always(reply(BOMB[:20], headers={"Content-Encoding": "gzip"})),
        "truncated or damaged",
    ),
]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(("script", "says"), [case[1:] for case in TOO_LARGE], ids=[case[0] for case in TOO_LARGE])
def test_no_answer_takes_more_memory_than_its_bound(script: Script, says: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Transient, match=says):
            read(script, Bounds(answer_bytes=1_000_000, exchange_seconds=30.0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000


def test_a_compressed_answer_is_read() -> None:
    assert read(always(zipped(b'{"value": [{"msdyn_amount": 100.10}]}'))) == [{"msdyn_amount": "100.10"}]


# --- time -------------------------------------------------------------------------------------------------------------


def silent(path: str) -> Iterator[bytes]:
    time.sleep(20)
    yield b""


SLOW: list[tuple[str, Script]] = [
    ("no answer", silent),
    ("a status line without end", lambda path: slowly(b"HTTP/1.1 200 ", b"O")),
    ("headers without end", lambda path: slowly(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n")),
    ("answers before the answer", lambda path: endless(b"HTTP/1.1 102 Processing\r\n\r\n", 0.01)),
    ("a body byte by byte", lambda path: slowly(reply(headers={"Content-Length": "100000"}), b" ")),
    ("chunks without end", lambda path: chunked(endless(b" ", 0.05))),
]


def slowly(first: bytes, then: bytes) -> Iterator[bytes]:
    yield first
    yield from endless(then, 0.05)


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("script", [case[1] for case in SLOW], ids=[case[0] for case in SLOW])
def test_a_server_that_is_never_too_late_for_a_byte_ends_in_time(script: Script) -> None:
    began = time.monotonic()
    with pytest.raises(Transient) as raised:
        read(script)
    assert time.monotonic() - began < IN_TIME
    assert raised.value.outcome_unknown


# --- links ------------------------------------------------------------------------------------------------------------

LINKS: list[tuple[str, str]] = [
    ("another host", "http://evil.example.com{api}/msdyn_actuals?$skiptoken=1"),
    ("another port", "http://127.0.0.1:1{api}/msdyn_actuals?$skiptoken=1"),
    ("another scheme", "https://127.0.0.1:{port}{api}/msdyn_actuals?$skiptoken=1"),
    ("no scheme", "//evil.example.com{api}/msdyn_actuals"),
    ("another name of the host", "http://localhost:{port}{api}/msdyn_actuals"),
    ("user info", "http://user:password@127.0.0.1:{port}{api}/msdyn_actuals"),
    ("a user that looks like the host", "http://127.0.0.1:{port}@evil.example.com{api}/msdyn_actuals"),
    ("another folder", "{here}/data/msdyn_actuals"),
    ("dots", "{here}{api}/../../../data/msdyn_actuals"),
    ("encoded dots", "{here}{api}/%2e%2e/%2E%2E/data/msdyn_actuals"),
    ("encoded slashes", "{here}{api}/..%2f..%2fdata"),
    ("encoded backslashes", "{here}{api}/..%5c..%5cdata"),
    ("backslashes", "{here}{api}/..\\..\\data"),
    ("dots encoded twice", "{here}{api}/%252e%252e/data"),
    ("a file", "file:///etc/passwd"),
    ("a port that is none", "http://127.0.0.1:99999999{api}/msdyn_actuals"),
    ("a new line", "{here}{api}/msdyn_actuals\r\nX: y"),
    ("no address", "http://[::1"),
    ("letters of another script", "{here}{api}/msdyn_actuals\u2024\u2024/data"),
    ("too long", "{here}{api}/msdyn_actuals?$skiptoken=" + "x" * 20_000),
]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("name", ["nextLink", "deltaLink"])
@pytest.mark.parametrize("link", [case[1] for case in LINKS], ids=[case[0] for case in LINKS])
def test_a_link_to_elsewhere_is_not_followed(link: str, name: str) -> None:
    with hostile(lambda path: [page]) as server:
        written = link.format(api=API, here=server.address, port=server.address.rpartition(":")[2])
        page = rows(**{name: written})
        with pytest.raises(Configuration, match="was not followed") as raised:
            list(Dataverse(connection(server)).pages("msdyn_actuals"))
    assert len(server.asked) == 1
    assert len(str(raised.value)) < 1_000


@pytest.mark.parametrize("link", ["{here}{api}/msdyn_actuals?$skiptoken=%2e%2e", "msdyn_actuals?$skiptoken=2"])
def test_a_link_within_the_api_is_followed_whether_or_not_it_is_whole(link: str) -> None:
    with hostile(lambda path: [rows({"n": 2}) if "skiptoken" in path else first]) as server:
        first = rows({"n": 1}, nextLink=link.format(api=API, here=server.address))
        pages = list(Dataverse(connection(server)).pages("msdyn_actuals"))
    assert [row["n"] for page in pages for row in page.rows] == [1, 2]


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere() -> None:
    with hostile(always(rows())) as elsewhere:
        with pytest.raises(Configuration, match="302"):
            read(always(reply(status="302 Found", headers={"Location": elsewhere.address})))
        assert elsewhere.asked == []


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_links_in_a_circle_end(pages: int) -> None:
    with hostile(lambda path: [rows(nextLink=f"msdyn_actuals?$skiptoken={follow(path)}")]) as server:

        def follow(path: str) -> int:
            return (int(path.rpartition("=")[2] if "=" in path else 0) + 1) % pages

        with pytest.raises(Permanent, match="cycle"):
            list(Dataverse(connection(server)).pages("msdyn_actuals"))
    assert len(server.asked) == pages + 1


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        (Bounds(pages=7), "more than 7 pages"),
        (Bounds(read_seconds=0.3), "took more than"),
    ],
)
def test_pages_without_end_end_and_the_next_read_continues(bounds: Bounds, says: str) -> None:
    links = iter(range(1_000_000))

    def script(path: str) -> Iterator[bytes]:
        time.sleep(0.01)
        yield rows({"n": 1}, nextLink=f"msdyn_actuals?$skiptoken={next(links)}")

    pages: list[Page] = []
    with hostile(script) as server, pytest.raises(Transient, match=says):
        pages.extend(Dataverse(connection(server, bounds)).pages("msdyn_actuals"))
    assert 1 < len(pages) < 40
    assert all(page.rows for page in pages)


# --- types ------------------------------------------------------------------------------------------------------------

DEEP = b'{"value": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}"
ODD: list[tuple[str, bytes, type[TargetError]]] = [
    ("no rows", b"{}", Permanent),
    ("rows that are null", b'{"value": null}', Permanent),
    ("rows that are text", b'{"value": "rows"}', Transient),
    ("rows that are an object", b'{"value": {"a": 1}}', Transient),
    ("a row that is a number", b'{"value": [{}, 1]}', Transient),
    ("a row that is null", b'{"value": [null]}', Transient),
    ("a next link that is a number", b'{"value": [], "@odata.nextLink": 1}', Transient),
    ("a next link that is a list", b'{"value": [], "@odata.nextLink": ["a"]}', Transient),
    ("a next link that is empty", b'{"value": [], "@odata.nextLink": ""}', Transient),
    ("a delta link that is true", b'{"value": [], "@odata.deltaLink": true}', Transient),
    ("nothing at all", b"", Permanent),
    ("a list", b"[]", Transient),
    ("a number without end", b'{"value": 1e999999}', Transient),
    ("a number of many digits", b'{"value": ' + b"9" * 500_000 + b"}", Transient),
    ("not JSON", b"\x00\xff", Transient),
    ("JSON in UTF-16", '{"value": []}'.encode("utf-16"), Transient),
    ("half a surrogate", b'{"value": [], "@odata.nextLink": "\\ud800"}', TargetError),
    ("cut", b'{"value": [{"a"', Transient),
    ("nested deeply", DEEP, Transient),
]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(("body", "kind"), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_an_answer_of_the_wrong_types_is_a_classified_failure(body: bytes, kind: type[TargetError]) -> None:
    with pytest.raises(kind, match=r"msdyn_actuals|was not followed"):
        read(always(reply(body)))


@pytest.mark.parametrize("etag", [b"1", b'"a\\r\\nb"', b'"W/1"', b'"\\u00e9"', b'["a"]'])
def test_an_etag_that_is_none_is_a_classified_failure(etag: bytes) -> None:
    with hostile(always(reply(b'{"@odata.etag": %b}' % etag))) as server, pytest.raises(Transient, match="etag"):
        Dataverse(connection(server)).read("msdyn_actuals", "1")


def test_prerequisites_of_the_wrong_types_are_unknown() -> None:
    body = {"value": [{"LogicalName": 1}, {"LogicalName": "a", "EntitySetName": ["b"]}, {"name": {}}, {"version": 1}]}
    with hostile(always(reply(msgspec.json.encode(body)))) as server:
        observed = observe(Finance(connection(server)), Dataverse(connection(server)))
    assert set(observed.values) <= {"finance"}


# --- headers ----------------------------------------------------------------------------------------------------------


def refusal(**headers: str) -> Script:
    return always(
        reply(b"", "429 Too Many Requests", {name.replace("_", "-"): value for name, value in headers.items()})
    )


@pytest.mark.requirement("R44", "R46")
@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("1000000000000", 3_600.0),
        ("9" * 30, 3_600.0),
        ("9" * 5_000, None),
        ("-1", None),
        ("1e9", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("\xb2", None),
        ("", None),
        ("Wed, 21 Oct 2099 07:28:00 GMT", None),
    ],
)
def test_no_wait_is_longer_than_an_hour(written: str, seconds: float | None) -> None:
    with pytest.raises(Throttled) as raised:
        read(refusal(Retry_After=written))
    assert raised.value.retry_after == seconds


BEFORE = datetime(2025, 1, 8, 12, tzinfo=UTC)


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(
    ("date", "answered"),
    [
        ("Wed, 08 Jan 2025 11:00:00 GMT", BEFORE - timedelta(hours=1)),
        ("Wed, 08 Jan 2025 11:00:00 -0000", BEFORE - timedelta(hours=1)),
        ("Wed, 08 Jan 2025 11:00:00 +99999999999999999999", BEFORE),
        ("Fri, 31 Dec 9999 23:59:59 -2300", BEFORE),
        ("Fri, 31 Dec 9999 23:59:59 GMT", BEFORE),
        ("Wed, 08 Jan 99999999 11:00:00 GMT", BEFORE),
        ("yesterday", BEFORE),
        ("", BEFORE),
        ("1736337600", BEFORE),
    ],
)
def test_a_clock_that_cannot_be_right_is_not_believed(date: str, answered: datetime) -> None:
    with hostile(always(reply(b"{}", headers={"Date": date}))) as server:
        api = Connection(client(timeout=5.0), server.address + API, None, clock=lambda: BEFORE)
        found = api.get("msdyn_actuals").answered
    assert answered - timedelta(seconds=5) < found <= answered


BROKEN: list[tuple[str, list[bytes], type[TargetError]]] = [
    ("a length that is too long", [reply(b"{}", headers={"Content-Length": "100"})], Transient),
    ("a length that is none", [reply(b"{}", headers={"Content-Length": "many"})], Transient),
    ("a length without end", [reply(b"{}", headers={"Content-Length": "9" * 40})], Transient),
    ("two lengths", [reply(b"{}", headers={"Content-length": "1"})], Transient),
    ("no HTTP", [b"SSH-2.0-OpenSSH_9.6\r\n"], Transient),
    ("another HTTP", [b"HTTP/9.9 200 OK\r\n\r\n"], Permanent),
    ("a status that is none", [b"HTTP/1.1 abc OK\r\n\r\n"], Transient),
    ("a status of six hundred", [reply(b"", "699 Odd")], Transient),
    ("a header that is none", [b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"], Transient),
    ("headers that are too large", [b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 300_000 + b"\r\n\r\n"], Transient),
    ("a chunk of a wrong length", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], Transient),
    ("a page for people", [reply(b"<html>", headers={"Content-Type": "text/HTML"})], Configuration),
    ("not modified", [reply(b"", "304 Not Modified")], Configuration),
    ("nothing", [b""], Transient),
    ("gone", [reply(b"", "410 Gone")], TokenExpired),
    ("not there", [reply(b"", "404 Not Found")], Missing),
]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(("pieces", "kind"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_protocol_is_a_classified_failure(pieces: list[bytes], kind: type[TargetError]) -> None:
    with pytest.raises(kind) as raised:
        read(always(*pieces))
    assert type(raised.value) is kind
    assert "secret-token" not in str(raised.value)


def test_what_a_server_says_is_repeated_in_one_short_line_of_printable_text() -> None:
    said = {"error": {"code": "\u0000\u001b[31m" * 500, "message": "a\u0000b\u001b[2J\nc\u202e" + "x" * 100_000}}
    status = "500 " + "\x1b[31m" * 3 + "Odd"
    with pytest.raises(Transient) as raised:
        read(always(reply(msgspec.json.encode(said), status)))
    assert str(raised.value).isprintable()
    assert "a b" in str(raised.value)
    assert len(str(raised.value)) < 2_000


# --- the others go on -------------------------------------------------------------------------------------------------

NAME_COLUMNS = reply(
    msgspec.json.encode(
        {
            "value": [
                {"LogicalName": "msdyn_actual", "EntitySetName": "msdyn_actuals"},
                {"LogicalName": "msdyn_expense", "EntitySetName": "expenses_of_this_service"},
            ]
        }
    )
)
HEALTHY = {"@odata.etag": 'W/"1"', "msdyn_expenseid": "0f1c0000-0000-4000-8000-000000000001"}

FAILURES: dict[str, Script] = {
    **{name: script for name, script, _ in TOO_LARGE},
    **dict(SLOW),
    **{name: always(reply(body)) for name, body, _ in ODD},
    **{name: always(*pieces) for name, pieces, _ in BROKEN},
    "a link to elsewhere": always(rows(nextLink="http://evil.example.com/")),
    "a circle": always(rows(nextLink="msdyn_actuals?$skiptoken=1")),
    "no context": always(reply(b'{"value": [{"a": 1}]}')),
    "a context that is a number": always(reply(b'{"value": [{"a": 1}], "@odata.context": 1}')),
    "throttled": refusal(Retry_After="1"),
}


@pytest.mark.requirement("R9", "R44")
@pytest.mark.parametrize("failure", FAILURES)
def test_a_table_that_fails_is_named_and_the_others_go_on(failure: str) -> None:
    def script(path: str) -> Iterable[bytes]:
        if "EntityDefinitions" in path:
            return [NAME_COLUMNS]
        if "expenses_of_this_service" in path:
            return [rows(HEALTHY, deltaLink="expenses_of_this_service?$deltatoken=1")]
        return FAILURES[failure](path)

    sent: list[SourceEvent] = []
    began = time.monotonic()
    with hostile(script) as server:
        api = connection(server)
        tables = [Table("dataverse", "msdyn_actual"), Table("dataverse", "msdyn_expense")]
        poller = Poller(Finance(api), Dataverse(api), MemoryCursors(), sent.extend, tables, complete=["dataverse"])
        failed, healthy = poller.once()
        again, _ = poller.once()
    assert failed.fault
    assert again.fault
    assert (healthy.fault, healthy.rows) == ("", 1)
    assert failed.complete_until is None
    assert b"tieout.source.complete" not in b"".join(event.value for event in sent)
    assert time.monotonic() - began < 3 * IN_TIME


@pytest.mark.requirement("R9", "R46")
def test_a_system_that_asks_for_a_long_wait_does_not_keep_the_tables_of_the_other() -> None:
    slept: list[float] = []
    finance_rows = rows({"@odata.etag": 'W/"1"'})
    document = reply(b'{"value": [{"name": "ProjTables"}]}')
    with (
        hostile(
            lambda path: [NAME_COLUMNS] if "EntityDefinitions" in path else refusal(Retry_After="1799")(path)
        ) as waiting,
        hostile(lambda path: [document if path == f"{API}/" else finance_rows]) as healthy,
    ):
        dataverse = Dataverse(connection(waiting, limiter=Limiter(time.monotonic, slept.append)))
        tables = [
            Table("dataverse", "msdyn_actual"),
            Table("dataverse", "msdyn_expense"),
            Table("finance", "ProjTable"),
        ]
        poller = Poller(Finance(connection(healthy)), dataverse, MemoryCursors(), lambda events: None, tables)
        actuals, expenses, projects = poller.once()
    assert "429" in actuals.fault
    assert expenses.fault == actuals.fault
    assert (projects.fault, projects.rows) == ("", 1)
    assert slept == []
    assert len(waiting.asked) == 2


@pytest.mark.requirement("R9")
def test_a_read_that_was_too_long_is_continued_by_the_next_poll() -> None:
    def script(path: str) -> list[bytes]:
        number = int(path.rpartition("=")[2]) if "skiptoken" in path else 0
        link = f"msdyn_actuals?$skiptoken={number + 1}"
        return [
            NAME_COLUMNS
            if "EntityDefinitions" in path
            else rows({"n": number}, **({"nextLink": link} if number < 9 else {}))
        ]

    sent: list[SourceEvent] = []
    with hostile(script) as server:
        api = connection(server, Bounds(pages=4))
        tables = [Table("dataverse", "msdyn_actual")]
        poller = Poller(Finance(api), Dataverse(api), MemoryCursors(), sent.extend, tables)
        cursors = [poller.once()[0] for _ in range(3)]
    assert [(cursor.rows, bool(cursor.fault)) for cursor in cursors] == [(4, True), (8, True), (10, False)]
    assert len(sent) == 10


@pytest.mark.requirement("R9")
def test_a_cursor_of_another_address_begins_anew() -> None:
    cursors = MemoryCursors()

    def script(path: str) -> list[bytes]:
        return [
            NAME_COLUMNS
            if "Definitions" in path
            else rows({"n": 1}, deltaLink=f"{servers[-1]}{API}/msdyn_actuals?$deltatoken=1")
        ]

    servers: list[str] = []
    for _ in range(2):
        with hostile(script) as server:
            servers.append(server.address)
            api = connection(server)
            poller = Poller(
                Finance(api), Dataverse(api), cursors, lambda events: None, [Table("dataverse", "msdyn_actual")]
            )
            (cursor,) = poller.once()
        assert (cursor.fault, cursor.rows) == ("", 1)
    assert server.asked[-1] == f"{API}/msdyn_actuals"


@pytest.mark.requirement("R46")
def test_a_wait_without_end_is_not_waited_for() -> None:
    slept: list[float] = []
    limiter = Limiter(time.monotonic, slept.append)
    with hostile(refusal(Retry_After="1000000000000")) as server:
        api = Dataverse(connection(server, limiter=limiter))
        for _ in range(3):
            with pytest.raises(Throttled):
                api.read("msdyn_actuals", "1")
    assert slept == []
    assert len(server.asked) == 1
