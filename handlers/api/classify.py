"""What an answer, or its absence, means: one of `handlers.errors`, by status, code and body (R44).

Sources: the Web API's own list of error codes, "Troubleshoot Dataverse Web API client errors", the service protection
articles of both systems, and `docs/domain/limits.md`. Where two readings are possible, the one that calls less often is
taken: a wrong "configuration" waits for a person, a wrong "transient" costs attempts.
"""

import re
import socket
import ssl
from typing import Any, Final, NoReturn

import httpx
import msgspec

from handlers.errors import (
    Changed,
    Configuration,
    Missing,
    Permanent,
    TargetError,
    Throttled,
    TokenExpired,
    Transient,
)

_TEXT_MAX: Final = 500
"""As much of a system's own words as an error repeats."""

_RETRY_AFTER_MAX: Final = 3_600.0
"""The longest wait, in seconds, that is obeyed: twelve windows of the limits. A larger number would stop every call of
the user for as long as a broken server likes.
"""

_CODES: Final[dict[str, tuple[type[TargetError], str]]] = {
    # Service protection; sometimes under another status than 429.
    "0x80072322": (Throttled, "Wait."),
    "0x80072321": (Throttled, "Wait."),
    "0x80072326": (Throttled, "Wait."),
    # Concurrency and uniqueness.
    "0x80060882": (Changed, "Read the row again."),
    "0x80040237": (Changed, "The row is there already: read it."),
    "0x80060892": (Changed, "The row is there already: read it."),
    "0x80040333": (Changed, "A duplicate is there already: read it."),
    # The database behind, at this moment.
    "0x80044150": (Transient, "Try again later."),
    "0x80044151": (Transient, "Try again later."),
    "0x80040216": (Transient, "Try again later."),
    # Rows and names that are not there.
    "0x80040217": (Missing, "Look whether the row was deleted."),
    "0x80060891": (Configuration, "The row that the call names by its key is not there: create or synchronise it."),
    "0x8006088a": (
        Configuration,
        "Check the name of the table or action in the settings; a custom action must be active.",
    ),
    "0x80044352": (TokenExpired, "Read the whole table again."),
    # Rights.
    "0x80040220": (Configuration, "Give the application user the missing privilege."),
    "0x80048306": (Configuration, "Give the application user the missing privilege."),
    "0x80042f09": (Configuration, "Give the application user the missing privilege."),
    "0x80048405": (Configuration, "Give the application user the missing privilege."),
    "0x80072560": (Configuration, "Make the application a user of the Dataverse environment, with a role."),
    "0x80042f0a": (Configuration, "Enable the application user in the Dataverse environment."),
}

_WAITS_FOR_SETUP: Final = [
    # What dual-write and posting say when reference data or setup is missing (`docs/domain/documents.md` §1 and §2).
    r"currenc\w* .*(?:not|missing|does not exist|could not)",
    r"(?:not|missing|could not|unable to) .*currenc",
    r"unit of measure",
    r"product id is mandatory",
    r"transaction category",
    r"could not resolve (?:project|task|vendor|unit|product)",
    r"vendor .*(?:not found|does not exist|missing)",
    r"intercompany relationship",
    r"no open fiscal period",
    r"fiscal period .*(?:not open|closed)",
    r"license|licence",
    r"(?:entity )?map .*(?:not running|paused|stopped)",
]
_SETUP: Final = re.compile("|".join(_WAITS_FOR_SETUP), re.IGNORECASE | re.DOTALL)
_CONFLICT: Final = re.compile(r"update conflict|deadlock|lock request time ?out|sql time ?out", re.IGNORECASE)
_NO_SUCH_NAME: Final = re.compile(
    r"no HTTP resource was found|resource not found for the segment|could not find a property named", re.IGNORECASE
)

_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def error_of_response(call: str, response: httpx.Response) -> TargetError:
    """The error that an answer other than 2xx is; `call` names it, such as `PATCH msdyn_journals(…)`."""
    code, said = _said(response)
    status = response.status_code
    kind, todo = _kind(status, code, said)
    text = f"{describe_response(call, response)} {todo}"
    if kind is Throttled:
        return Throttled(text, retry_after=_retry_after(response), status=status, code=code)
    # A gateway gave up on a call that may be under way behind it.
    return kind(text, status=status, code=code, outcome_unknown=status in (502, 504))


def describe_response(call: str, response: httpx.Response) -> str:
    """What was answered to a call, as a sentence: `GET accounts: 403 Forbidden (0x80040220: missing privilege).`"""
    text = f"{call}: {response.status_code} {_short(response.reason_phrase)}".rstrip()
    told = ": ".join(part for part in _said(response) if part)
    return f"{text} ({told})." if told else f"{text}."


def code_of(response: httpx.Response) -> str:
    """The code in the body of a refusal; empty without one."""
    return _said(response)[0]


def _kind(status: int, code: str, said: str) -> tuple[type[TargetError], str]:
    if status == 429:
        return Throttled, "Wait."
    if found := _CODES.get(code.lower()):
        return found
    if _CONFLICT.search(said):
        return Transient, "Try again."
    if _NO_SUCH_NAME.search(said):
        return Configuration, "Check the names of tables, columns and actions in maps and settings."
    match status:
        case 401:
            return Configuration, (
                "The system does not know the application: register it as a user (docs/connectors.md), and check "
                "TIEOUT_CLIENT_ID."
            )
        case 403:
            return Configuration, "Give the application user the rights it lacks (docs/connectors.md)."
        case 404:
            return Missing, "Look whether the row was deleted, and whether the address is that of the API."
        case 405:
            return Configuration, "The address does not take this call: check the settings of addresses and actions."
        case 408 | 409:
            return Transient, "Try again."
        case 410:
            return TokenExpired, "Read the whole table again."
        case 412:
            return Changed, "Read the row again."
    if 300 <= status < 400:
        return Configuration, "The API sent us elsewhere, as to a sign-in page: check the address."
    if _SETUP.search(said):
        return Configuration, "Mend what the message names, then sync again."
    if status >= 500 and not code.lower().startswith("0x80040265"):
        return Transient, "Try again later."
    return Permanent, "Look at the message: the same call would be refused again."


def _said(response: httpx.Response) -> tuple[str, str]:
    """The code and the message in the body of a refusal; Finance puts what matters into the inner error."""
    try:
        content = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    error = content.get("error") if isinstance(content, dict) else None
    if isinstance(error, str):
        # OAuth: {"error": "invalid_client", "error_description": "AADSTS…"}
        return _short(error), _short(content.get("error_description"))
    if not isinstance(error, dict):
        message = content.get("Message") if isinstance(content, dict) else None
        return "", _short(message)
    inner = error.get("innererror")
    said = [_short(error.get("message"))]
    while isinstance(inner, dict):
        said.append(_short(inner.get("message")))
        inner = inner.get("internalexception")
    distinct = list(dict.fromkeys(text for text in said if text and text != "An error has occurred."))
    return _short(error.get("code")), " / ".join(distinct)[:_TEXT_MAX]


def _short(text: object) -> str:
    """Some of a text in one line. Control characters go: a store refuses NUL, and a terminal obeys escapes."""
    if not isinstance(text, str):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * _TEXT_MAX])
    return " ".join(printable.split())[:_TEXT_MAX].rstrip(".")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait, an hour at most; both systems write a number of seconds, and anything else counts as none."""
    written = response.headers.get("Retry-After", "").strip()
    if not re.fullmatch(r"\d{1,30}(\.\d{1,30})?", written, re.ASCII):
        return None
    return min(float(written), _RETRY_AFTER_MAX)


def error_of_missing_response(call: str, host: str, error: httpx.HTTPError | httpx.InvalidURL) -> TargetError:
    """The error that no answer at all is: unknown host, TLS, timeouts, lost connections."""
    cause = _root(error)
    unknown = not isinstance(error, _UNSENT)
    if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
        return Configuration(f"{call}: there is no host {host}. Check the address in the settings.")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Configuration(
            f"{call}: the certificate of {host} is not trusted ({cause}). Check the address, and the "
            "certificates this machine trusts."
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        # What httpx says of it holds the address, which may be a secret.
        return Configuration(f"{call}: the address is none ({type(error).__name__}). Write https://….")
    if isinstance(error, httpx.TimeoutException):
        return Transient(f"{call}: {host} did not answer in time. Try again later.", outcome_unknown=unknown)
    return Transient(
        f"{call}: the connection to {host} failed ({type(error).__name__}). Try again later.", outcome_unknown=unknown
    )


def _root(error: BaseException) -> BaseException:
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def decode_object(call: str, response: httpx.Response) -> dict[str, Any]:
    """The JSON object in a good answer, numbers with a fraction as their digits: they may be money.

    Raises `Configuration` for a page meant for people, as of a proxy or a sign-in; `Transient` for JSON that was cut.
    """
    if "html" in response.headers.get("content-type", "").lower():
        raise Configuration(
            f"{call}: {response.url.host} answered with a web page, not with JSON. Check the address in the settings, "
            "and proxies on the way.",
            status=response.status_code,
        )
    try:
        content = _DIGITS.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _broken(call, response)
    if not isinstance(content, dict):
        _broken(call, response)
    return content


def _broken(call: str, response: httpx.Response) -> NoReturn:
    raise Transient(
        f"{call}: the answer of {response.url.host} is no whole JSON object ({len(response.content)} bytes). Try again "
        "later.",
        status=response.status_code,
        outcome_unknown=True,
    ) from None


_DIGITS: Final = msgspec.json.Decoder(float_hook=str)
