"""The catalogue of messages of Finance processes and of dual-write: recognition, parameters, meaning and resolution
(R51).

The patterns are the texts of the product, in all published spellings (`docs/domain/workspace.md`, "Error catalogue");
details and resolutions are ours. Any other text has the code `UNKNOWN`. To add a message: one entry in `CATALOGUE`,
before the entries whose texts it begins with.
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

# The texts of dual-write: what Finance puts before them, the entity, and what follows (addresses of help pages, the
# activity id for support).
_BEFORE: Final = (
    r"(?:Posting - )?(?:Cannot save the changes to the database\. Unit of Work can ?not commit transaction\. ?)?"
)
_WRITE: Final = _BEFORE + r"Unable to write data to entity (?P<entity>\w+)\."
_ACTUAL: Final = _BEFORE + r"Unable to write data to entity msdyn_actuals\b"
_REST: Final = r"(?:[.:,]? .*)?\.?"

_POST_AGAIN: Final = (
    "The posting was rolled back: post again. If Finance shows it as posted, do not post or enter it again, but sync "
    "the document."
)

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
    Message(
        "ACTUAL_NOT_FOUND",
        rf"(?:{_ACTUAL}\.? ?)?Unable to look ?up msdyn_actuals with values "
        rf"(?P<actual>\{{[^{{}}]*\}}|[^\s.{{}}]+){_REST}",
        "integration-journal-posting",
        "The actual of the line does not exist in Dataverse: it was rolled back there after dual-write had sent it.",
        "Leave the line unposted, because it can be neither corrected nor posted. Check whether Dataverse has another "
        "actual of the document: that one is to be posted. Turn on Project actuals prevalidation in Finance, which "
        "prevents such lines.",
    ),
    Message(
        "ACTUAL_INCOMPLETE",
        rf"Attribute msdyn_transactiontypecode not found in the record of type msdyn_actual{_REST}",
        "integration-journal-posting",
        "Dataverse has no complete actual for the line: it was rolled back after dual-write had sent it.",
        "Leave the line unposted, because it can be neither corrected nor posted. Check whether Dataverse has another "
        "actual of the document: that one is to be posted. Turn on Project actuals prevalidation in Finance, which "
        "prevents such lines.",
    ),
    Message(
        "ACTUAL_NOT_WRITTEN",
        rf"{_ACTUAL}{_REST}",
        "integration-journal-posting",
        "The posting could not be written back to the actual in Dataverse, usually because the actual was rolled back.",
        "Check the actual in Dataverse. If it exists, correct the cause in the message and post again. If it does not, "
        "leave the line unposted and turn on Project actuals prevalidation in Finance, which prevents such lines.",
    ),
    Message(
        "DW_TASK_NOT_UNIQUE",
        rf"{_WRITE}.*Could not resolve project task for export expense\..*",
        "dual-write",
        "The activity number of the expense does not identify one task of the project, because a summary task was "
        "selected.",
        f"Recall the expense report, select a task without subtasks, and submit it again. {_POST_AGAIN}",
    ),
    Message(
        "DW_UNIT_MISSING",
        rf"{_WRITE}.*Unable to look ?up uoms with values \{{(?P<unit>[^{{}}]*)\}}.*",
        "dual-write",
        "Dataverse does not have the unit of measure of the vendor invoice line.",
        f"Run the initial synchronisation of the map of units (uoms). {_POST_AGAIN}",
    ),
    Message(
        "DW_PRODUCT_MISSING",
        rf"{_WRITE}.*Product id is mandatory\. .*",
        "dual-write",
        "Dataverse does not have the product of the vendor invoice line.",
        f"Run the initial synchronisation of the map of products, from Finance to Dataverse. {_POST_AGAIN}",
    ),
    Message(
        "DW_CATEGORY_INVALID",
        rf"{_WRITE}.*The Transaction Category linked to this vendor invoice line is invalid\..*",
        "dual-write",
        "Dataverse has no active expense transaction category for the project category of the vendor invoice line.",
        "Create the transaction category in Dataverse, or activate it, and wait until dual-write has synced it with "
        f"Finance. {_POST_AGAIN}",
    ),
    Message(
        "DW_VENDOR_MISSING",
        rf"{_WRITE}.*Unable to look ?up accounts with values \{{(?P<vendor>[^,{{}}]*)[^{{}}]*\}}.*",
        "dual-write",
        "Dataverse does not have the vendor of the vendor invoice.",
        "Check whether Dataverse has the vendor. If it does not, run the initial synchronisation of the map of "
        f"vendors, from Finance to Dataverse. {_POST_AGAIN}",
    ),
    Message(
        "DW_LINE_PROPERTY_MISSING",
        r"Write failed for entity Project Operations integration actuals with unknown exception - Line property "
        r"(?P<property>.+?) (?:doesn't|does not) exist\..*",
        "dual-write",
        "Finance does not have the line property of the actual, so Dataverse could not create it.",
        "Create the line property in Finance. Then confirm the transaction in Dataverse again, unless an actual of it "
        "exists there.",
    ),
    Message(
        "DW_NOT_A_MEMBER",
        r"\W*error\W+code\W+0x80072560\W+message\W+The user is not a member of the organization\..*",
        "dual-write",
        "The application user or the owning team of dual-write is missing in Dataverse, or has no role there.",
        f"Give the application users of dual-write and the default owning team the role System Administrator. "
        f"{_POST_AGAIN}",
    ),
    Message(
        "DW_NO_PAYLOAD",
        rf"Unable to generate payload for entity (?P<entity>\w+){_REST}",
        "dual-write",
        "The map of the entity points to an address of Dataverse that is empty or no longer valid.",
        "Stop the map, remove its rows that point to another environment, and start it again. "
        f"Microsoft's page on live synchronization has the steps. {_POST_AGAIN}",
    ),
    Message(
        "DW_LOOKUP_FAILED",
        rf"{_WRITE}.*Unable to look ?up (?P<table>\w+) with values \{{(?P<values>[^{{}}]*)\}}.*",
        "dual-write",
        "Dataverse does not have a row that the record refers to.",
        f"Create the row in Dataverse, or run the initial synchronisation of its map. {_POST_AGAIN}",
    ),
    Message(
        "DW_NOT_WRITTEN",
        rf"{_WRITE}.*",
        "dual-write",
        "Dataverse refused the record, for the reason in the message.",
        f"Correct the cause in the message; often a row that the record refers to is missing there. {_POST_AGAIN}",
    ),
    Message(
        "DW_STALE_VERSION",
        rf"Concurrency failures?{_REST}",
        "dual-write",
        "Asynchronous dual-write skipped a version of the record, because a newer one existed. It cannot be retried.",
        "Compare the record in both systems. If they agree, no action is needed. If they differ, sync the document; "
        "do not change what is posted.",
    ),
    Message(
        "DW_CONFLICT",
        rf"Conflict failures?{_REST}",
        "dual-write",
        "Both systems changed the record at once. The primary system kept its values, and those of the other were "
        "refused.",
        "Compare the record in both systems. Make the refused change again if it is still wanted, in the primary "
        "system. Do not change what is posted.",
    ),
)

_PATTERNS: Final = [(message, re.compile(message.pattern, re.DOTALL)) for message in CATALOGUE]
_BY_CODE: Final = {message.code: message for message in CATALOGUE}

CODES: Final = (*_BY_CODE, UNKNOWN)

_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def _actual(value: str) -> str | None:
    """Return the guid of an actual, alone or among the values of a look-up."""
    found = _GUID.search(value)
    return guid(value) or (guid(found[0]) if found else None)


_NORMALISERS: Final[dict[str, Callable[[str], str | None]]] = {"actual": _actual}


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
