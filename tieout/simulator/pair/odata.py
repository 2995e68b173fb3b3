"""Requests and answers, and the part of OData that both APIs understand: keys, filters, choice of columns."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, unquote, urlencode

import msgspec

JSON = "application/json; odata.metadata=minimal"


@dataclass(frozen=True, slots=True)
class PairRequest:
    """One call. `host` is what the caller wrote (`http://127.0.0.1:8090`), the path as it was sent, names of headers in
    lower case.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, numbers with a fraction as digits; raises `Refused`."""
        try:
            content = _decoder.decode(self.body or b"{}")
        except msgspec.DecodeError as error:
            raise refused(400, "0x80048d19", f"Error identified in Payload provided by the user: {error}") from None
        if not isinstance(content, dict):
            raise refused(400, "0x80048d19", "Error identified in Payload provided by the user: an object is expected")
        return content


_decoder = msgspec.json.Decoder(float_hook=str)


@dataclass(frozen=True, slots=True)
class PairResponse:
    """What is answered; `content` is sent as JSON, bytes as they are."""

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The bytes of the content."""
        if self.content is None:
            return b""
        return self.content if isinstance(self.content, bytes) else msgspec.json.encode(self.content)


class Refused(Exception):
    """The system refuses; carries its answer."""

    def __init__(self, response: PairResponse) -> None:
        super().__init__(response.status)
        self.response = response


def refused(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Refused:
    """A refusal as Dataverse words it."""
    return Refused(PairResponse(status, {"error": {"code": code, "message": message}}, headers or {}))


def refused_by_finance(status: int, message: str) -> Refused:
    """A refusal as Finance words it: what matters stands in the inner error."""
    inner = {"message": message, "type": "Microsoft.Dynamics.Platform.Integration.Services.OData", "stacktrace": ""}
    return Refused(
        PairResponse(status, {"error": {"code": "", "message": "An error has occurred.", "innererror": inner}})
    )


_ADDRESS = re.compile(r"(?P<set>[A-Za-z_]\w*)(?:\((?P<key>.*)\))?")
_PART = re.compile(r"(?P<name>\w+)=(?P<value>'(?:[^']|'')*'|[^,']+)(?:,|$)")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def segments(path: str, root: str) -> tuple[str, str]:
    """The row or table that a path names, and what is asked of it; a slash within a key is written `%2F`."""
    segment, _, rest = path.removeprefix(root).partition("/")
    return unquote(segment), unquote(rest)


def address(segment: str) -> tuple[str, str | dict[str, str] | None]:
    """Entity set and key of a path's segment: no key, an id, or columns and values. Raises `Refused`."""
    found = _ADDRESS.fullmatch(segment)
    if found is None:
        raise refused(400, "0x0", f"Bad Request - Error in query syntax at {segment[:80]!r}.")
    key = found["key"]
    if key is None:
        return found["set"], None
    if _GUID.fullmatch(key):
        return found["set"], key.lower()
    parts = {part["name"]: _text(part["value"]) for part in _PART.finditer(key)}
    if not parts:
        raise refused(400, "0x0", f"Bad Request - Error in query syntax at {key[:80]!r}.")
    return found["set"], parts


def _text(literal: str) -> str:
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal


def chosen(row: dict[str, Any], query: Mapping[str, str], key: str) -> dict[str, Any]:
    """The columns that `$select` names, with their annotations; key, company and etag are always there."""
    names = {name.strip() for name in query.get("$select", "").split(",") if name.strip()}
    if not names:
        return row
    names |= {key, "dataAreaId", ""}
    return {name: value for name, value in row.items() if name.partition("@")[0] in names}


def link(place: str, options: Mapping[str, str]) -> str:
    """The address of a next page."""
    return f"{place}?{urlencode(options, safe='$,()', quote_via=quote)}"


RowPredicate = Callable[[Mapping[str, Any]], bool]
_TOKEN = re.compile(r"\s*(?:(?P<word>[\w.-]+(?:'[^']*')?)|(?P<text>'(?:[^']|'')*')|(?P<mark>[()]))")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "ne": lambda a, b: bool(a != b),
    "gt": lambda a, b: a is not None and b is not None and bool(a > b),
    "ge": lambda a, b: a is not None and b is not None and bool(a >= b),
    "lt": lambda a, b: a is not None and b is not None and bool(a < b),
    "le": lambda a, b: a is not None and b is not None and bool(a <= b),
}


def condition(written: str) -> RowPredicate:
    """A `$filter` of comparisons, `and`, `or` and parentheses as a test of a row. Raises `Refused`."""
    return _Filter(written).whole() if written else lambda row: True


class _Filter:
    """Reads a filter; `and` binds more tightly than `or`."""

    def __init__(self, written: str) -> None:
        self.written = written
        self.at = 0

    def whole(self) -> RowPredicate:
        test = self._either()
        if self.written[self.at :].strip():
            raise self._wrong()
        return test

    def _either(self) -> RowPredicate:
        tests = [self._both()]
        while self._is("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self) -> RowPredicate:
        tests = [self._one()]
        while self._is("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> RowPredicate:
        if self._is("("):
            test = self._either()
            if not self._is(")"):
                raise self._wrong()
            return test
        column, operator, value = self._next(), self._next(), _literal(self._next())
        if operator not in _COMPARE:
            raise self._wrong()
        compare = _COMPARE[operator]
        return lambda row: compare(_comparable(row.get(column)), value)

    def _is(self, wanted: str) -> bool:
        found = _TOKEN.match(self.written, self.at)
        if found is None or found[0].strip() != wanted:
            return False
        self.at = found.end()
        return True

    def _next(self) -> str:
        found = _TOKEN.match(self.written, self.at)
        if found is None or found["mark"]:
            raise self._wrong()
        self.at = found.end()
        return found[0].strip()

    def _wrong(self) -> Refused:
        return refused(400, "0x0", f"Syntax error at position {self.at} in '{self.written}'.")


def _literal(written: str) -> Any:
    if written in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[written]
    if written.startswith("'"):
        return _comparable(_text(written))
    # An enum of Finance: Microsoft.Dynamics.DataEntities.NoYes'Yes'
    if "'" in written:
        return written.partition("'")[2].rstrip("'").lower()
    return _comparable(written)


def _comparable(value: Any) -> Any:
    """Numbers by value, texts whatever their case, as both systems compare."""
    if value is None or isinstance(value, bool):
        return value
    text = bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)
    try:
        return Decimal(text)
    except InvalidOperation:
        return text.lower()
