"""The ten documented messages of the workspace are recognised with their parameters, in both spellings (R51)."""

import pytest

from engine.errorlog.known_messages import CATALOGUE, UNKNOWN, catalogued, recognise
from engine.events.facts import PROCESSES

pytestmark = pytest.mark.requirement("R51")

# The texts as the two editions of the product's page print them, with the parameters they carry.
PUBLISHED: list[tuple[str, str, dict[str, str]]] = [
    (
        "NOT_POSTED",
        "Project transaction hasn't been posted yet. Verify that you have posted all of the related integration "
        "journals and try again.",
        {},
    ),
    (
        "BILLED_MISMATCH",
        "Invoice proposal wasn't processed because of mismatched billed sales actuals with Dataverse. "
        "Please try again later. Contact your administrator if issue still exists.",
        {},
    ),
    (
        "BILLED_MISMATCH",
        "Invoice proposal wasn't processed because of mismatched billed sales actuals with Dataverse. "
        "Try again later. Contact your administrator if issue still exists.",
        {},
    ),
    (
        "NO_INTERCOMPANY",
        "Unable to import actual {6E21A0C8-9F0B-EF11-9F89-6045BDA11C3F}. Intercompany relationship has to be set up "
        "between legal entity USPM and GBPM in Project Management and Accounting Parameters",
        {"actual": "6e21a0c8-9f0b-ef11-9f89-6045bda11c3f", "lending": "USPM", "borrowing": "GBPM"},
    ),
    (
        "NO_OPEN_PERIOD",
        "No open fiscal period was found for the specified accounting date 1/8/2025.",
        {"date": "1/8/2025"},
    ),
    (
        "NO_OPEN_PERIOD_AFTER",
        "No open fiscal period was found in or after the specified accounting date 1/8/2025.",
        {"date": "1/8/2025"},
    ),
    (
        "LINE_FAILED",
        "Integration journal (USPM-000041): Line with RecId (5637144582) and Voucher (PJ-000012) failed to post due to "
        "(Voucher PJ-000012 is already used as at date 1/8/2025).",
        {
            "journal": "USPM-000041",
            "line": "5637144582",
            "voucher": "PJ-000012",
            "reason": "Voucher PJ-000012 is already used as at date 1/8/2025",
        },
    ),
    (
        "GJ_HEADER",
        "Failed to sync journal header USPM-015270 to Dataverse. Manual synch required at count 5. Count 3.",
        {"journal": "USPM-015270", "limit": "5", "count": "3"},
    ),
    (
        "GJ_HEADER",
        "Failed to sync journal header USPM-015270 to Dataverse. Manual synchs required at count 5. Count 3.",
        {"journal": "USPM-015270", "limit": "5", "count": "3"},
    ),
    (
        "GJ_LINE",
        "Failed to sync journal line to Dataverse. Manual synch required at count 5. Count 5.",
        {"limit": "5", "count": "5"},
    ),
    (
        "GJ_LINE",
        "Failed to sync journal line to Dataverse. Manual synchs required at count 5. Count 5.",
        {"limit": "5", "count": "5"},
    ),
    ("GJ_CONFIRM", "Failed to confirm journal 5541230 in Dataverse.", {"journal": "5541230"}),
    (
        "GJ_LINE_CREATE",
        "Error encountered while creating journal line entity for journal line record 5431130. "
        "Failed to retrieve data from Dataverse.",
        {"line": "5431130"},
    ),
]
CODES = [
    "NOT_POSTED",
    "BILLED_MISMATCH",
    "NO_INTERCOMPANY",
    "NO_OPEN_PERIOD",
    "NO_OPEN_PERIOD_AFTER",
    "LINE_FAILED",
    "GJ_HEADER",
    "GJ_LINE",
    "GJ_CONFIRM",
    "GJ_LINE_CREATE",
]


@pytest.mark.parametrize(
    ("code", "text", "parameters"), PUBLISHED, ids=[f"{code}-{n}" for n, (code, *_) in enumerate(PUBLISHED)]
)
def test_a_published_text_is_recognised_with_its_parameters(code: str, text: str, parameters: dict[str, str]) -> None:
    found = recognise(text)
    assert (found.code, found.parameters) == (code, parameters)


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, text, _ in PUBLISHED])
def test_only_one_entry_of_the_catalogue_claims_a_text(code: str, text: str) -> None:
    assert recognise(text).code == code
    assert recognise(f"Warning: {text}").code == UNKNOWN


def test_the_catalogue_begins_with_the_ten_documented_messages_of_the_workspace() -> None:
    assert [message.code for message in CATALOGUE[: len(CODES)]] == CODES


@pytest.mark.parametrize("code", CODES)
def test_each_message_has_a_process_details_and_a_resolution(code: str) -> None:
    message = catalogued(code)
    assert message is not None
    assert message.process in PROCESSES
    assert message.details
    assert message.resolution


@pytest.mark.parametrize(
    ("code", "process"),
    [
        ("NOT_POSTED", "import-from-staging"),
        ("BILLED_MISMATCH", "import-from-staging"),
        ("NO_INTERCOMPANY", "import-from-staging"),
        ("NO_OPEN_PERIOD", "integration-journal-posting"),
        ("NO_OPEN_PERIOD_AFTER", "integration-journal-posting"),
        ("LINE_FAILED", "integration-journal-posting"),
        ("GJ_HEADER", "general-journal-sync"),
        ("GJ_LINE", "general-journal-sync"),
        ("GJ_CONFIRM", "general-journal-sync"),
        ("GJ_LINE_CREATE", "general-journal-sync"),
    ],
)
def test_each_message_belongs_to_the_process_that_writes_it(code: str, process: str) -> None:
    message = catalogued(code)
    assert message is not None
    assert message.process == process


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("BILLED_MISMATCH", "Try again two or three times, then ask for support"),
        ("NO_OPEN_PERIOD", "Automatically set accounting date to open ledger"),
        ("LINE_FAILED", "more specific message"),
        ("GJ_CONFIRM", "if it is posted there, no action is needed"),
    ],
)
def test_the_resolution_says_what_the_documents_advise(code: str, advice: str) -> None:
    message = catalogued(code)
    assert message is not None
    assert advice in message.resolution


@pytest.mark.parametrize(
    "spelled",
    [
        "6e21a0c8-9f0b-ef11-9f89-6045bda11c3f",
        "6E21A0C8-9F0B-EF11-9F89-6045BDA11C3F",
        "{6E21A0C8-9F0B-EF11-9F89-6045BDA11C3F}",
    ],
)
def test_the_actual_of_a_message_is_found_however_its_guid_is_spelled(spelled: str) -> None:
    text = (
        f"Unable to import actual {spelled}. Intercompany relationship has to be set up between legal entity USPM and "
        "GBPM in Project Management and Accounting Parameters."
    )
    assert recognise(text).parameters["actual"] == "6e21a0c8-9f0b-ef11-9f89-6045bda11c3f"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Failed  to confirm\n journal 5541230 in Dataverse. ", "GJ_CONFIRM"),
        (
            "Project transaction hasn\u2019t been posted yet. Verify that you have posted all of the related "
            "integration journals and try again.",
            "NOT_POSTED",
        ),
        (
            "Integration journal (USPM-041): Line with RecId (5) and Voucher () failed to post due to "
            "(Account (4010) is\nsuspended (since 2024)).",
            "LINE_FAILED",
        ),
    ],
    ids=["blanks and line breaks", "a typographic apostrophe", "a reason with brackets and no voucher"],
)
def test_a_text_copied_through_mail_or_a_web_page_is_still_recognised(text: str, code: str) -> None:
    assert recognise(text).code == code


def test_a_reason_is_kept_whole() -> None:
    text = (
        "Integration journal (J): Line with RecId (5) and Voucher (V) failed to post due to (Account (4010) is closed)."
    )
    assert recognise(text).parameters["reason"] == "Account (4010) is closed"


@pytest.mark.parametrize(
    "date", ["2025-01-08", "08.01.2025", "1/8/2025 12:00:00 AM", "8 janv. 2025"], ids=["iso", "dots", "time", "words"]
)
def test_a_date_is_kept_as_the_users_language_writes_it(date: str) -> None:
    text = f"No open fiscal period was found for the specified accounting date {date}."
    assert recognise(text).parameters == {"date": date}


@pytest.mark.parametrize("text", ["", "   ", "Something else went wrong.", "Count 3.", "No open fiscal period"])
def test_an_unknown_message_is_unknown(text: str) -> None:
    found = recognise(text)
    assert (found.code, found.parameters) == (UNKNOWN, {})
    assert catalogued(found.code) is None
