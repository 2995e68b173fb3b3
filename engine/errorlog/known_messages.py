"""The catalogue of messages of Finance processes: recognition, parameters, meaning and resolution (R51).

The patterns are the texts of the product, in both published spellings (`docs/domain/workspace.md`, "Error catalogue");
details and resolutions are ours. Any other text has the code `UNKNOWN`. To add a message: one entry in `CATALOGUE`.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from engine.events.facts import guid


class Recognised(msgspec.Struct, frozen=True):
    """A recognised message: its code, and the parameters in its text."""

    code: str
    parameters: dict[str, str]


class Message(msgspec.Struct, frozen=True):
    """A catalogue entry: the pattern of the text, the process, the meaning, and the resolution for a person."""

    code: str
    pattern: str
    process: str
    details: str
    resolution: str


UNKNOWN: Final = "UNKNOWN"

CATALOGUE: Final = (
    Message(
        "NOT_POSTED",
        r"Project transaction has(?:n't| not) been posted yet\. Verify that you have posted all of the related "
        r"integration journals and try again\.",
        "import-from-staging",
        "The invoice proposal bills unbilled sales whose integration journal lines are not posted yet.",
        "Post the integration journals of these transactions, then run Import from staging again.",
    ),
    Message(
        "BILLED_MISMATCH",
        r"Invoice proposal was(?:n't| not) processed because of mismatched billed sales actuals with Dataverse\. "
        r"(?:Please try|Try) again later\. Contact your administrator if (?:the )?issue still exists\.",
        "import-from-staging",
        "Finance does not have all billed sales actuals that Dataverse confirmed yet.",
        "Wait until all actuals have arrived, then run Import from staging again. Try again two or three times, "
        "then ask for support.",
    ),
    Message(
        "NO_INTERCOMPANY",
        r"Unable to import actual (?P<actual>\{?[0-9A-Fa-f-]{32,36}\}?)\. Intercompany relationship has to be "
        r"set up between legal entity "
        r"(?P<lending>\S+) and (?P<borrowing>\S+?) in Project Management and Accounting Parameters\.?",
        "import-from-staging",
        "The actual belongs to a project of another company, and the two companies have no intercompany setup.",
        "Set up lending and borrowing between the two legal entities in Project management and accounting "
        "parameters, then import again.",
    ),
    Message(
        "NO_OPEN_PERIOD",
        r"No open fiscal period was found for the specified accounting date (?P<date>.+?)\.",
        "integration-journal-posting",
        "The accounting date is in a ledger period that is not open.",
        'Open the period, or turn on "Automatically set accounting date to open ledger period", then post again.',
    ),
    Message(
        "NO_OPEN_PERIOD_AFTER",
        r"No open fiscal period was found in or after the specified accounting date (?P<date>.+?)\.",
        "integration-journal-posting",
        "Neither the period of the accounting date nor a later one is open.",
        "Open the period of that date or a later one, then post again.",
    ),
    Message(
        "LINE_FAILED",
        r"Integration journal \((?P<journal>[^)]*)\): Line with RecId \((?P<line>[^)]*)\) and Voucher "
        r"\((?P<voucher>[^)]*)\) failed to post due to "
        r"\((?P<reason>.*)\)\.?",
        "integration-journal-posting",
        "One line of the journal could not be posted, for the reason in the message.",
        "Find a second, more specific message about the same line and correct its cause. Then post the new journal of "
        "the line.",
    ),
    Message(
        "GJ_HEADER",
        r"Failed to sync journal header (?P<journal>\S+) to Dataverse\. Manual synchs? required at count "
        r"(?P<limit>\d+)\. Count (?P<count>\d+)\.?",
        "general-journal-sync",
        "The header of a general journal could not be written to Dataverse.",
        "Check the connection to Dataverse and the privileges there. It is retried automatically up to the limit. "
        "After that, select Sync (`tieout journals sync`). Deleting this entry retries as well.",
    ),
    Message(
        "GJ_LINE",
        r"Failed to sync journal line to Dataverse\. Manual synchs? required at count (?P<limit>\d+)\. Count "
        r"(?P<count>\d+)\.?",
        "general-journal-sync",
        "A line of a general journal could not be written to Dataverse.",
        "Check project, category and currency of the line in Dataverse. It is retried automatically up to the "
        "limit. After that, select Sync (`tieout journals sync`). Deleting this entry retries as well.",
    ),
    Message(
        "GJ_CONFIRM",
        r"Failed to confirm journal (?P<journal>\d+) in Dataverse\.",
        "general-journal-sync",
        "Dataverse did not confirm the journal. A large journal may need several attempts.",
        "Check the journal in Dataverse: if it is posted there, no action is needed. It is retried automatically up to "
        "five times. After that, select Sync (`tieout journals sync`). Deleting this entry retries as well.",
    ),
    Message(
        "GJ_LINE_CREATE",
        r"Error encountered while creating journal line entity for journal line record (?P<line>\d+)\. Failed to "
        r"retrieve data from Dataverse\.",
        "general-journal-sync",
        "The currency, project or contract line of the journal line is missing in Dataverse.",
        "Create the missing row in Dataverse, or sync it. It is retried automatically up to five times. After "
        "that, select Sync (`tieout journals sync`). Deleting this entry retries as well.",
    ),
)

_PATTERNS: Final = [(message, re.compile(message.pattern, re.DOTALL)) for message in CATALOGUE]
_BY_CODE: Final = {message.code: message for message in CATALOGUE}

CODES: Final = (*_BY_CODE, UNKNOWN)

_NORMALISERS: Final[dict[str, Callable[[str], str | None]]] = {"actual": guid}


def recognise(text: str) -> Recognised:
    """Return the code of a message and the parameters in it; `UNKNOWN` if it is not in the catalogue.

    >>> recognise("Failed to confirm journal 5541230 in Dataverse.")
    Recognised(code='GJ_CONFIRM', parameters={'journal': '5541230'})
    """
    # Logs copied through mail and web pages contain both apostrophes and runs of blanks.
    plain = " ".join(text.replace("\u2019", "'").split())
    for message, pattern in _PATTERNS:
        if match := pattern.fullmatch(plain):
            return Recognised(
                message.code,
                {
                    name: (_NORMALISERS[name](value) or value) if name in _NORMALISERS else value
                    for name, value in match.groupdict().items()
                },
            )
    return Recognised(UNKNOWN, {})


def catalogued(code: str) -> Message | None:
    """Return the catalogue entry of a code; None for `UNKNOWN`."""
    return _BY_CODE.get(code)
