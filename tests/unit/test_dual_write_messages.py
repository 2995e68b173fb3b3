"""The documented messages of dual-write and of invalid actuals are recognised, each with a safe remedy (R51).

The texts are those of Microsoft's pages `resource-dual-write-frequent-issues`, `dual-write-troubleshooting-live-sync`,
`enable-actuals-validation` and `dual-write-async-faq` (docs/microsoft-releases.md).
"""

import re
import time

import pytest

from engine.errorlog.known_messages import CATALOGUE, UNKNOWN, catalogued, recognise
from engine.sync.actions import SKIPPED, Skipped, step_for_error

pytestmark = pytest.mark.requirement("R51")

HELP = (
    " For more information on troubleshooting, see Troubleshoot live synchronization issues. Activity ID for "
    "troubleshooting {47076787-D238-4689-9C7E-A463E708851A}."
)
REFUSED = "failed with the error message Request failed with status code BadRequest and CDS error code : 0x80040265"
ACTUAL = "6e21a0c8-9f0b-ef11-9f89-6045bda11c3f"

PUBLISHED: list[tuple[str, str, dict[str, str]]] = [
    (
        "DW_TASK_NOT_UNIQUE",
        "Unable to write data to entity msdyn_expenses. Writes to ProjExpenseExportEntity failed with the error "
        "message Request failed with the status code BadRequest and CDS error code : 0x80040265 response message: "
        "Could not resolve project task for export expense. The specified task activity number doesn't uniquely "
        f"identify the task of the project in the system.{HELP}",
        {"entity": "msdyn_expenses"},
    ),
    (
        "DW_UNIT_MISSING",
        "Posting - Unable to write data to entity msdyn_projectvendorinvoicelines. Unable to lookup uoms with values "
        f"{{TST}}. Writes to msdyn_projectvendorinvoicelines failed with an error message.{HELP}",
        {"entity": "msdyn_projectvendorinvoicelines", "unit": "TST"},
    ),
    (
        "DW_PRODUCT_MISSING",
        "Posting - Unable to write data to entity msdyn_projectvendorinvoicelines.Writes to "
        f"ProjVendInvoiceLineExportEntity {REFUSED} response message: Product id is mandatory. Select a product from "
        f"the catalog.{HELP}",
        {"entity": "msdyn_projectvendorinvoicelines"},
    ),
    (
        "DW_CATEGORY_INVALID",
        "Unable to write data to entity msdyn_projectvendorinvoicelines. Writes to ProjVendInvoiceLineExportEntity "
        f"{REFUSED} response message: The Transaction Category linked to this vendor invoice line is invalid. Please "
        f"select an Active, Expense Transaction Category.{HELP}",
        {"entity": "msdyn_projectvendorinvoicelines"},
    ),
    (
        "DW_VENDOR_MISSING",
        "Unable to write data to entity msdyn_projectvendorinvoices. Unable to lookup accounts with values "
        "{USPM-000022,edbebb23-fe15-4af3-b839-199c7603f322}. Writes to msdyn_projectvendorinvoices failed with an "
        f"error message.{HELP}",
        {"entity": "msdyn_projectvendorinvoices", "vendor": "USPM-000022"},
    ),
    (
        "DW_LINE_PROPERTY_MISSING",
        "Write failed for entity Project Operations integration actuals with unknown exception - Line property Not "
        "available doesn't exist. \nvalidateWrite failed on data source 'ProjCDSActualsImport "
        "(ProjCDSActualsImport)'. Please rectify your data and try again. If issue persists after multiple retries, "
        "please contact your system administrator.",
        {"property": "Not available"},
    ),
    (
        "DW_NOT_A_MEMBER",
        r"[{\"error\":{\"code\":\"0x80072560\",\"message\":\"The user is not a member of the organization.\"}}], The "
        r'remote server returned an error: (403) Forbidden."}}".',
        {},
    ),
    ("DW_NO_PAYLOAD", "Unable to generate payload for entity CustCustomerV3Entity", {"entity": "CustCustomerV3Entity"}),
    (
        "DW_NOT_WRITTEN",
        "Cannot save the changes to the database. Unit of Work can not commit transaction. Unable to write data to "
        "entity uoms. Writes to UnitOfMeasureEntity failed with error message Unable to sync with entity uoms.",
        {"entity": "uoms"},
    ),
    (
        "DW_LOOKUP_FAILED",
        "Unable to write data to entity msdyn_expenses. Unable to look up msdyn_projects with values {P-000042,uspm}.",
        {"entity": "msdyn_expenses", "table": "msdyn_projects", "values": "P-000042,uspm"},
    ),
    ("ACTUAL_NOT_FOUND", "Unable to look up msdyn_actuals with values X", {"actual": "X"}),
    ("ACTUAL_NOT_FOUND", f"Unable to lookup msdyn_actuals with values {{{ACTUAL.upper()}}}.", {"actual": ACTUAL}),
    (
        "ACTUAL_NOT_FOUND",
        f"Unable to write data to entity msdyn_actuals. Unable to lookup msdyn_actuals with values {{{ACTUAL}, uspm}}."
        f"{HELP}",
        {"actual": ACTUAL},
    ),
    (
        "ACTUAL_INCOMPLETE",
        "Attribute msdyn_transactiontypecode not found in the record of type msdyn_actual",
        {},
    ),
    ("ACTUAL_NOT_WRITTEN", "Unable to write data to entity msdyn_actuals", {}),
    ("ACTUAL_NOT_WRITTEN", f"Unable to write data to entity msdyn_actuals. Writes failed.{HELP}", {}),
    # The page names the categories; what follows them is not public.
    ("DW_STALE_VERSION", "Concurrency failure", {}),
    ("DW_STALE_VERSION", "Concurrency failures: the version of the record is not the latest.", {}),
    ("DW_CONFLICT", "Conflict failure. The record was changed in Dataverse.", {}),
]
CODES = list(dict.fromkeys(code for code, *_ in PUBLISHED))


@pytest.mark.parametrize(
    ("code", "text", "parameters"), PUBLISHED, ids=[f"{code}-{n}" for n, (code, *_) in enumerate(PUBLISHED)]
)
def test_a_published_text_of_dual_write_is_recognised_with_its_parameters(
    code: str, text: str, parameters: dict[str, str]
) -> None:
    found = recognise(text)
    assert (found.code, found.parameters) == (code, parameters)


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, text, _ in PUBLISHED])
def test_a_text_with_something_before_it_is_another_text(code: str, text: str) -> None:
    assert recognise(f"Warning: {text}").code == UNKNOWN
    assert recognise(text.partition(" ")[2]).code != code


@pytest.mark.parametrize("text", ["Concurrency failuresome", "Conflict", "Unable to write data", "Posting - "])
def test_a_text_that_only_begins_like_one_is_unknown(text: str) -> None:
    assert recognise(text).code == UNKNOWN


@pytest.mark.parametrize("code", CODES)
def test_each_has_a_meaning_and_a_remedy_that_costs_nothing_twice(code: str) -> None:
    message = catalogued(code)
    assert message is not None
    assert message.process == ("integration-journal-posting" if code.startswith("ACTUAL_") else "dual-write")
    assert message.details
    remedy = message.resolution
    again = re.search(r"\b(post again|submit it again|confirm the transaction|approve)\b", remedy, re.IGNORECASE)
    # Whatever is to be done again is not to be done where it has been done.
    assert again is None or re.search(r"If Finance shows it as posted, do not|unless an actual|If it exists", remedy)
    assert not re.search(r"\b(delete|initial load)\b", remedy, re.IGNORECASE)


def test_every_message_of_dual_write_is_here() -> None:
    assert set(CODES) >= {message.code for message in CATALOGUE if message.process == "dual-write"}


def test_a_retry_of_dual_write_is_left_to_a_person_with_what_to_do() -> None:
    step = step_for_error("dual-write", "USPM", "000123", posting_permitted=True)
    assert step == Skipped(SKIPPED["dual-write-error"], "dual-write-error")
    assert "sync the document" in step.reason


@pytest.mark.parametrize(
    "text",
    [
        "Unable to write data to entity msdyn_expenses. "
        + "Could not resolve project task for export expense " * 20_000,
        "Unable to write data to entity msdyn_expenses. " + "Unable to lookup uoms with values {" * 20_000,
        "Unable to look up msdyn_actuals with values " + "{" * 500_000,
        "\\" * 500_000 + "error",
        "Concurrency failures " * 40_000,
    ],
    ids=["tasks", "units", "brackets", "backslashes", "categories"],
)
def test_a_long_hostile_text_is_read_in_linear_time(text: str) -> None:
    started = time.perf_counter()
    recognise(text)
    assert time.perf_counter() - started < 5
