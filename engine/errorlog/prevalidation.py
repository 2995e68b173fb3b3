"""Errors of the integration journal that Project actuals prevalidation in Finance prevents (R51).

With the feature, Finance compares each actual in staging with Dataverse before it makes lines of it, so no line is made
of an actual that was rolled back there ("Enable actuals validation to prevent invalid actuals", Microsoft Learn). The
page names the messages.
"""

from typing import Final

import msgspec

from engine.errorlog.known_messages import recognise
from engine.events.facts import ProcessMessage, guid

POSTING: Final = "integration-journal-posting"
PREVENTED: Final = frozenset({"ACTUAL_NOT_FOUND", "ACTUAL_INCOMPLETE", "ACTUAL_NOT_WRITTEN"})
"""The message codes, alone or as the reason why a line failed."""


class PreventedError(msgspec.Struct, frozen=True):
    """What such an error names: the integration journal line by RecId, or the actual by guid."""

    line: str | None
    actual: str | None


class Prevention(msgspec.Struct, frozen=True):
    """What prevalidation would have prevented: unposted lines, their cost by currency in units of 1/10000, how many of
    them have no known amount, and the number of errors that name no known line.
    """

    lines: int
    amounts: tuple[tuple[str, int], ...]
    without_amount: int
    unknown: int


def prevented(error: ProcessMessage) -> PreventedError | None:
    """Return what an error names that prevalidation would have prevented; None for any other error."""
    if error.process != POSTING:
        return None
    found = recognise(error.text or "")
    line = found.parameters.get("line") if found.code == "LINE_FAILED" else None
    if line is not None:
        found = recognise(found.parameters["reason"])
    elif error.subject is not None and error.subject.isdecimal():
        line = error.subject
    return PreventedError(line, guid(found.parameters.get("actual", ""))) if found.code in PREVENTED else None
