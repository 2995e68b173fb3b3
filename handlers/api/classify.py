"""Maps a response, or its absence, to one of `handlers.errors`, by status, error code and body (R44).

Sources: the list of error codes of the Web API, "Troubleshoot Dataverse Web API client errors", the service protection
articles of both systems, and `docs/domain/limits.md`. An ambiguous response gets the class with fewer calls: a wrong
"configuration" waits for a person, a wrong "transient" uses attempts.
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
"""Characters of the message of a system that an error repeats."""

_RETRY_AFTER_MAX: Final = 3_600.0
"""The longest `Retry-After`, in seconds, that is observed: twelve windows of the limits. Without this limit a broken
server could stop all calls of the user for any length of time.
"""

_CODES: Final[dict[str, tuple[type[TargetError], str]]] = {
    # Service protection; sometimes under another status than 429.
    "0x80072322": (Throttled, "Wait."),
    "0x80072321": (Throttled, "Wait."),
    "0x80072326": (Throttled, "Wait."),
    # Concurrency and uniqueness.
    "0x80060882": (Changed, "Read the row again."),
    "0x80040237": (Changed, "Read the row: it exists already."),
    "0x80060892": (Changed, "Read the row: it exists already."),
    "0x80040333": (Changed, "Read the row: a duplicate exists already."),
    # Temporary faults of the database of the system.
    "0x80044150": (Transient, "Try again later."),
    "0x80044151": (Transient, "Try again later."),
    "0x80040216": (Transient, "Try again later."),
    # Missing rows and names.
    "0x80040217": (Missing, "Check whether the row was deleted."),
    "0x80060891": (Configuration, "Create or synchronise the row that the call names by its key: it does not exist."),
    "0x8006088a": (
        Configuration,
        "Check the name of the table or action in the settings. A custom action must be active.",
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

_SETUP_MESSAGES: Final = [
    # Messages of dual-write and posting about missing reference data or setup (`docs/domain/documents.md` §1 and §2).
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
_SETUP: Final = re.compile("|".join(_SETUP_MESSAGES), re.IGNORECASE | re.DOTALL)
_CONFLICT: Final = re.compile(r"update conflict|deadlock|lock request time ?out|sql time ?out", re.IGNORECASE)
_NO_SUCH_NAME: Final = re.compile(
    r"no HTTP resource was found|resource not found for the segment|could not find a property named", re.IGNORECASE
)

_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def error_of_response(call: str, response: httpx.Response) -> TargetError:
    """Return the error of a response other than 2xx; `call` names the request, such as `PATCH msdyn_journals(…)`."""
    code, message = _error_of(response)
    status = response.status_code
    error_class, remedy = _classify(status, code, message)
    text = f"{describe_response(call, response)} {remedy}"
    if error_class is Throttled:
        return Throttled(text, retry_after=_retry_after(response), status=status, system_code=code)
    # After a gateway timeout the call may still be in progress behind the gateway.
    return error_class(text, status=status, system_code=code, outcome_unknown=status in (502, 504))


def describe_response(call: str, response: httpx.Response) -> str:
    """Return a response as a sentence: `GET accounts: 403 Forbidden (0x80040220: missing privilege).`"""
    text = f"{call}: {response.status_code} {_short(response.reason_phrase)}".rstrip()
    detail = ": ".join(part for part in _error_of(response) if part)
    return f"{text} ({detail})." if detail else f"{text}."


def code_of(response: httpx.Response) -> str:
    """Return the error code in the body of a response, empty if it has none."""
    return _error_of(response)[0]


def _classify(status: int, code: str, message: str) -> tuple[type[TargetError], str]:
    """Return the class of an error, and the remedy."""
    if status == 429:
        return Throttled, "Wait."
    if known := _CODES.get(code.lower()):
        return known
    if _CONFLICT.search(message):
        return Transient, "Try again."
    if _NO_SUCH_NAME.search(message):
        return Configuration, "Check the names of tables, columns and actions in maps and settings."
    match status:
        case 401:
            return Configuration, (
                "Register the application as a user of the system (docs/connectors.md), and check TIEOUT_CLIENT_ID."
            )
        case 403:
            return Configuration, "Give the application user the rights it lacks (docs/connectors.md)."
        case 404:
            return Missing, "Check whether the row was deleted, and whether the address is that of the API."
        case 405:
            return Configuration, "Check the settings of addresses and actions: the address does not accept this call."
        case 408 | 409:
            return Transient, "Try again."
        case 410:
            return TokenExpired, "Read the whole table again."
        case 412:
            return Changed, "Read the row again."
    if 300 <= status < 400:
        return Configuration, "Check the address: the API redirects, as to a sign-in page."
    if _SETUP.search(message):
        return Configuration, "Correct what the message names, then sync again."
    if status >= 500 and not code.lower().startswith("0x80040265"):
        return Transient, "Try again later."
    return Permanent, "Look at the message: the same call would be refused again."


def _error_of(response: httpx.Response) -> tuple[str, str]:
    """Return the error code and the message in the body of a response. Finance has the details in inner errors."""
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
    messages = [_short(error.get("message"))]
    while isinstance(inner, dict):
        messages.append(_short(inner.get("message")))
        inner = inner.get("internalexception")
    distinct = list(dict.fromkeys(text for text in messages if text and text != "An error has occurred."))
    return _short(error.get("code")), " / ".join(distinct)[:_TEXT_MAX]


def _short(text: object) -> str:
    """Return a text on one line, truncated and without control characters: a store refuses NUL, and a terminal
    interprets escape sequences.
    """
    if not isinstance(text, str):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * _TEXT_MAX])
    return " ".join(printable.split())[:_TEXT_MAX].rstrip(".")


def _retry_after(response: httpx.Response) -> float | None:
    """Return `Retry-After` in seconds, at most an hour. Both systems send a number; any other value is ignored."""
    text = response.headers.get("Retry-After", "").strip()
    if not re.fullmatch(r"\d{1,30}(\.\d{1,30})?", text, re.ASCII):
        return None
    return min(float(text), _RETRY_AFTER_MAX)


def error_of_missing_response(call: str, host: str, error: httpx.HTTPError | httpx.InvalidURL) -> TargetError:
    """Return the error of a missing response: an unknown host, TLS, a timeout, a lost connection."""
    cause = _root(error)
    unknown = not isinstance(error, _UNSENT)
    if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
        return Configuration(f"{call}: the host {host} does not exist. Check the address in the settings.")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Configuration(
            f"{call}: the certificate of {host} is not trusted ({cause}). Check the address, and the "
            "certificates that this machine trusts."
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        # The message of httpx contains the address, which may be a secret.
        return Configuration(f"{call}: the address is invalid ({type(error).__name__}). Write https://….")
    if isinstance(error, httpx.TimeoutException):
        return Transient(f"{call}: {host} did not respond in time. Try again later.", outcome_unknown=unknown)
    return Transient(
        f"{call}: the connection to {host} failed ({type(error).__name__}). Try again later.", outcome_unknown=unknown
    )


def _root(error: BaseException) -> BaseException:
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def decode_object(call: str, response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object in a successful response. Numbers with a fraction are decoded as text, because they may be
    amounts.

    Raises `Configuration` for a web page, such as that of a proxy or a sign-in, and `Transient` for truncated JSON.
    """
    if "html" in response.headers.get("content-type", "").lower():
        raise Configuration(
            f"{call}: {response.url.host} responded with a web page instead of JSON. Check the address in the "
            "settings, and the proxies between.",
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
        f"{call}: the response of {response.url.host} is not a complete JSON object ({len(response.content)} bytes). "
        "Try again later.",
        status=response.status_code,
        outcome_unknown=True,
    ) from None


_DIGITS: Final = msgspec.json.Decoder(float_hook=str)
