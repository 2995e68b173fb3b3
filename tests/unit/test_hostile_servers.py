"""Servers that are broken or hostile, over real connections: each ends in a classified failure, in bounded time."""

import gzip
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from handlers.api.bounded_exchange import Bounds, client
from handlers.api.connection import Connection
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.api.odata import Page
from handlers.errors import (
    Configuration,
    Missing,
    Permanent,
    TargetError,
    Throttled,
    TokenExpired,
    Transient,
)
from handlers.prerequisites import observe
from tests.support.hostile import API, Script, connection, hostile, read_actuals, reply, rows, zipped

IN_TIME = 20.0
"""Seconds within which an exchange of these bounds has ended, on a busy machine."""


def always(*pieces: bytes) -> Script:
    return lambda path: pieces


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
            read_actuals(script, Bounds(answer_bytes=1_000_000, exchange_seconds=30.0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000


def test_a_compressed_answer_is_read() -> None:
    assert read_actuals(always(zipped(b'{"value": [{"msdyn_amount": 100.10}]}'))) == [{"msdyn_amount": "100.10"}]


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
        read_actuals(script)
    assert time.monotonic() - began < IN_TIME
    assert raised.value.outcome_unknown


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
    assert len(server.requested) == 1
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
            read_actuals(always(reply(status="302 Found", headers={"Location": elsewhere.address})))
        assert elsewhere.requested == []


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_links_in_a_circle_end(pages: int) -> None:
    with hostile(lambda path: [rows(nextLink=f"msdyn_actuals?$skiptoken={follow(path)}")]) as server:

        def follow(path: str) -> int:
            return (int(path.rpartition("=")[2] if "=" in path else 0) + 1) % pages

        with pytest.raises(Permanent, match="cycle"):
            list(Dataverse(connection(server)).pages("msdyn_actuals"))
    assert len(server.requested) == pages + 1


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
        read_actuals(always(reply(body)))


@pytest.mark.parametrize("etag", [b"1", b'"a\\r\\nb"', b'"W/1"', b'"\\u00e9"', b'["a"]'])
def test_an_etag_that_is_none_is_a_classified_failure(etag: bytes) -> None:
    with hostile(always(reply(b'{"@odata.etag": %b}' % etag))) as server, pytest.raises(Transient, match="etag"):
        Dataverse(connection(server)).read("msdyn_actuals", "1")


def test_prerequisites_of_the_wrong_types_are_unknown() -> None:
    body = {"value": [{"LogicalName": 1}, {"LogicalName": "a", "EntitySetName": ["b"]}, {"name": {}}, {"version": 1}]}
    with hostile(always(reply(msgspec.json.encode(body)))) as server:
        observed = observe(Finance(connection(server)), Dataverse(connection(server)))
    assert set(observed.values) <= {"finance"}


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
        read_actuals(refusal(Retry_After=written))
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
        read_actuals(always(*pieces))
    assert type(raised.value) is kind
    assert "secret-token" not in str(raised.value)


def test_what_a_server_says_is_repeated_in_one_short_line_of_printable_text() -> None:
    said = {"error": {"code": "\u0000\u001b[31m" * 500, "message": "a\u0000b\u001b[2J\nc\u202e" + "x" * 100_000}}
    status = "500 " + "\x1b[31m" * 3 + "Odd"
    with pytest.raises(Transient) as raised:
        read_actuals(always(reply(msgspec.json.encode(said), status)))
    assert str(raised.value).isprintable()
    assert "a b" in str(raised.value)
    assert len(str(raised.value)) < 2_000
