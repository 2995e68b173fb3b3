"""Requests, responses, and the part of OData common to both APIs: keys, filters, column selection."""

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
    """One call. `host` is scheme and authority of the caller (`http://127.0.0.1:8090`); `path` is not decoded.

    Header names are in lower case.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object, numbers with a fraction as digits; raises `Refused`."""
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
    """A response; `content` is sent as JSON, bytes unchanged."""

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """Return the bytes of the content."""
        if self.content is None:
            return b""
        return self.content if isinstance(self.content, bytes) else msgspec.json.encode(self.content)


class Refused(Exception):
    """The system refuses a call; carries its response."""

    def __init__(self, response: PairResponse) -> None:
        super().__init__(response.status)
        self.response = response


def refused(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Refused:
    """Return a refusal in the format of Dataverse."""
    return Refused(PairResponse(status, {"error": {"code": code, "message": message}}, headers or {}))


def refused_by_finance(status: int, message: str) -> Refused:
    """Return a refusal in the format of Finance: the message is in the inner error."""
    inner = {"message": message, "type": "Microsoft.Dynamics.Platform.Integration.Services.OData", "stacktrace": ""}
    return Refused(
        PairResponse(status, {"error": {"code": "", "message": "An error has occurred.", "innererror": inner}})
    )


_ADDRESS = re.compile(r"(?P<set>[A-Za-z_]\w*)(?:\((?P<key>.*)\))?")
_PART = re.compile(r"(?P<name>\w+)=(?P<value>'(?:[^']|'')*'|[^,']+)(?:,|$)")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def segments(path: str, root: str) -> tuple[str, str]:
    """Return the row or table of a path and the action on it; a slash within a key is written `%2F`."""
    segment, _, rest = path.removeprefix(root).partition("/")
    return unquote(segment), unquote(rest)


def address(segment: str) -> tuple[str, str | dict[str, str] | None]:
    """Return entity set and key of a path segment: no key, an id, or columns and values. Raises `Refused`."""
    match = _ADDRESS.fullmatch(segment)
    if match is None:
        raise refused(400, "0x0", f"Bad Request - Error in query syntax at {segment[:80]!r}.")
    key = match["key"]
    if key is None:
        return match["set"], None
    if _GUID.fullmatch(key):
        return match["set"], key.lower()
    parts = {part["name"]: _text(part["value"]) for part in _PART.finditer(key)}
    if not parts:
        raise refused(400, "0x0", f"Bad Request - Error in query syntax at {key[:80]!r}.")
    return match["set"], parts


def _text(literal: str) -> str:
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal


def chosen(row: dict[str, Any], query: Mapping[str, str], key: str) -> dict[str, Any]:
    """Return the columns of `$select` with their annotations; key, company and etag are always included."""
    names = {name.strip() for name in query.get("$select", "").split(",") if name.strip()}
    if not names:
        return row
    names |= {key, "dataAreaId", ""}
    return {name: value for name, value in row.items() if name.partition("@")[0] in names}


def link(url: str, options: Mapping[str, str]) -> str:
    """Return the address of a next page."""
    return f"{url}?{urlencode(options, safe='$,()', quote_via=quote)}"


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
    """Compile a `$filter` of comparisons, `and`, `or` and parentheses to a predicate. Raises `Refused`."""
    return _Filter(written).parse() if written else lambda row: True


class _Filter:
    """Parser of a filter; `and` binds more tightly than `or`."""

    def __init__(self, written: str) -> None:
        self.written = written
        self.at = 0

    def parse(self) -> RowPredicate:
        test = self._disjunction()
        if self.written[self.at :].strip():
            raise self._syntax_error()
        return test

    def _disjunction(self) -> RowPredicate:
        tests = [self._conjunction()]
        while self._accept("or"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _conjunction(self) -> RowPredicate:
        tests = [self._comparison()]
        while self._accept("and"):
            tests.append(self._comparison())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _comparison(self) -> RowPredicate:
        if self._accept("("):
            test = self._disjunction()
            if not self._accept(")"):
                raise self._syntax_error()
            return test
        column, operator, value = self._next_token(), self._next_token(), _literal(self._next_token())
        if operator not in _COMPARE:
            raise self._syntax_error()
        compare = _COMPARE[operator]
        return lambda row: compare(_comparable(row.get(column)), value)

    def _accept(self, token: str) -> bool:
        match = _TOKEN.match(self.written, self.at)
        if match is None or match[0].strip() != token:
            return False
        self.at = match.end()
        return True

    def _next_token(self) -> str:
        match = _TOKEN.match(self.written, self.at)
        if match is None or match["mark"]:
            raise self._syntax_error()
        self.at = match.end()
        return match[0].strip()

    def _syntax_error(self) -> Refused:
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
    """Return a value for comparison: numbers by value, texts case-insensitively, as in both systems."""
    if value is None or isinstance(value, bool):
        return value
    text = bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)
    try:
        return Decimal(text)
    except InvalidOperation:
        return text.lower()
