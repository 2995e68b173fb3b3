"""The example payloads in `tests/data/events`, each with its changes, written by hand (R2, R3, R5, R9)."""

import json
from typing import Any

import pytest

from engine.errors import Rejected
from streams.codec import change_json, decode
from tests.support.payloads import EXAMPLES

COST, SALES = "ff26f5f6-2cd4-ef11-a730-0022480431d9", "0a37f5f6-2cd4-ef11-a730-0022480431d9"
EXPENSE = "3c9d5b12-9bcd-ef11-b8e8-0022480431d9"
USD = {"entity": "transactioncurrency", "id": "b7a1f0c2-5d3b-ee11-8ef3-000d3a1b2c3d", "name": None}
PROJECT = {"entity": "msdyn_project", "id": "2f6b8d11-77c4-ef11-a730-0022480431d9", "name": None}
CATEGORY = {"entity": "msdyn_transactioncategory", "id": "91d3c7aa-77c4-ef11-a730-0022480431d9", "name": None}
USPM = {"entity": "cdm_company", "id": "5e0f7a21-5d3b-ee11-8ef3-000d3a1b2c3d", "name": "USPM"}
MIDNIGHT = "2025-01-08T00:00:00Z"


def change(operation: str, source: str, entity: str, row: str | None, at: str | None, **others: Any) -> dict[str, Any]:
    """What `decode` prints, with the usual values of what a case does not name."""
    usual: dict[str, Any] = {"event_id": None, "correlation_id": None, "version": None, "company": None, "columns": {}}
    first = {"operation": operation, "source": source, "entity": entity, "id": row, "at": at}
    return {**first, **usual, "truncated": False, **others}


def actual(row: str, type_: int, amount: str, **others: Any) -> dict[str, Any]:
    return {
        "msdyn_actualid": row,
        "msdyn_description": "Flight to customer",
        "msdyn_transactionclassification": 192350001,
        "msdyn_transactiontypecode": type_,
        "msdyn_accountingdate": MIDNIGHT,
        "msdyn_documentdate": MIDNIGHT,
        "msdyn_startdatetime": MIDNIGHT,
        "msdyn_amount": amount,
        "msdyn_amount_base": amount,
        "msdyn_price": amount,
        "msdyn_quantity": "1.0",
        "exchangerate": "1.0",
        "transactioncurrencyid": USD,
        "msdyn_billingtype": 192350001,
        "msdyn_project": PROJECT,
        "msdyn_transactioncategory": CATEGORY,
        "msdyn_externalreferenceid": None,
        "assumed_skipsync": False,
        "assumed_sourcedocument": {"entity": "msdyn_expense", "id": EXPENSE, "name": None},
        "assumed_owningcompany": USPM,
        "statecode": 0,
        "statuscode": 1,
        "createdon": "2025-01-08T09:38:03Z",
        **others,
    }


def staging(voucher: str) -> dict[str, Any]:
    return {
        "mserp_actualid": COST,
        "mserp_amount": "100.0",
        "mserp_transactioncurrencyid": "USD",
        "mserp_exchangerate": "100.0",
        "mserp_accountingdate": MIDNIGHT,
        "mserp_documentdate": MIDNIGHT,
        "mserp_projectid": "P-001000-D",
        "mserp_quantity": "1.0",
        "mserp_isduplicate": 200000000,
        "mserp_voucher": voucher,
        "mserp_primaryfield": COST,
        "mserp_dataareaid": "uspm",
    }


SAID: dict[str, list[dict[str, Any]]] = {
    "dataverse-actual-cost-create": [
        change(
            "create",
            "dataverse",
            "msdyn_actual",
            COST,
            "2025-01-08T09:38:03Z",
            event_id="2e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="6d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a01",
            columns=actual(COST, 192350000, "100.0"),
        )
    ],
    "dataverse-actual-unbilledsales-create": [
        change(
            "create",
            "dataverse",
            "msdyn_actual",
            SALES,
            "2025-01-08T09:38:03Z",
            event_id="3e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="6d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a01",
            columns=actual(SALES, 192350005, "120.0", msdyn_billingstatus=192350000),
        )
    ],
    "dataverse-actual-voucher-update": [
        change(
            "update",
            "dataverse",
            "msdyn_actual",
            COST,
            "2025-01-09T02:00:11Z",
            event_id="4e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="8d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a02",
            version=5961002,
            columns={
                "msdyn_actualid": COST,
                "msdyn_externalreferenceid": "USPM-000051",
                "msdyn_externalreferencedate": "2025-01-09T00:00:00Z",
                "exchangerate": "1.0",
                "assumed_accountingamount": "100.0",
                "assumed_salestaxamount": "0",
                "modifiedon": "2025-01-09T02:00:11Z",
            },
        )
    ],
    "dataverse-delete": [
        change(
            "delete",
            "dataverse",
            "msdyn_journalline",
            "9b1e3d75-a749-ef11-acce-0022480431d9",
            "2025-12-01T10:06:00Z",
            event_id="9e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="bd1f0b52-1c52-4c0e-9a58-1b0d9b1c7a05",
        )
    ],
    "dataverse-delta-response": [
        change(
            "upsert",
            "dataverse",
            "msdyn_actual",
            COST,
            None,
            version=5961002,
            columns={
                "msdyn_actualid": COST,
                "msdyn_amount": "100.0",
                "msdyn_externalreferenceid": "USPM-000051",
            },
        ),
        change("delete", "dataverse", "msdyn_actual", "2e451703-c686-e711-80e5-00155db19e6d", None),
    ],
    "dataverse-expense-approved-update": [
        change(
            "update",
            "dataverse",
            "msdyn_expense",
            EXPENSE,
            "2025-01-08T09:38:02Z",
            event_id="1e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="6d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a01",
            version=5948260,
            columns={
                "msdyn_expensestatus": 192350002,
                "statuscode": 867380003,
                "modifiedon": "2025-01-08T09:38:02Z",
                "modifiedonbehalfby": None,
                "msdyn_expenseid": EXPENSE,
            },
        )
    ],
    "dataverse-expense-create": [
        change(
            "create",
            "dataverse",
            "msdyn_expense",
            EXPENSE,
            "2025-01-08T09:37:24Z",
            event_id="0e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="6d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a01",
            columns={
                "msdyn_expenseid": EXPENSE,
                "msdyn_name": "Flight to customer",
                "msdyn_amount": "100.0",
                "msdyn_amount_base": "100.0",
                "msdyn_salestaxamount": "0",
                "msdyn_totalamount": "100.0",
                "exchangerate": "1.0",
                "transactioncurrencyid": USD,
                "msdyn_quantity": "1.0",
                "msdyn_price": "100.0",
                "msdyn_transactiondate": MIDNIGHT,
                "msdyn_expensestatus": 192350001,
                "msdyn_project": PROJECT,
                "msdyn_expensecategory": {**CATEGORY, "entity": "msdyn_expensecategory"},
                "statecode": 0,
                "statuscode": 867380002,
                "createdon": "2025-01-08T09:37:24Z",
                "modifiedon": "2025-01-08T09:37:24Z",
                "assumed_externalexpenseid": "USPM-PT000463",
            },
        )
    ],
    "dataverse-journal-posted-update": [
        change(
            "update",
            "dataverse",
            "msdyn_journal",
            "8b1e3d75-a749-ef11-acce-0022480431d9",
            "2025-12-01T10:05:00Z",
            event_id="8e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="ad1f0b52-1c52-4c0e-9a58-1b0d9b1c7a04",
            version=7012345,
            columns={
                "msdyn_journalid": "8b1e3d75-a749-ef11-acce-0022480431d9",
                "msdyn_isposted": True,
                "modifiedon": "2025-12-01T10:05:00Z",
            },
        )
    ],
    "dataverse-transactionconnection-create": [
        change(
            "create",
            "dataverse",
            "msdyn_transactionconnection",
            "77b0f5f6-2cd4-ef11-a730-0022480431d9",
            "2025-01-08T09:38:04Z",
            event_id="5e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="6d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a01",
            columns={
                "msdyn_transactionconnectionid": "77b0f5f6-2cd4-ef11-a730-0022480431d9",
                "msdyn_transaction1": SALES,
                "msdyn_transaction1role": "Unbilled Sales",
                "msdyn_transaction1type": "msdyn_actual",
                "msdyn_transaction2": COST,
                "msdyn_transaction2role": "Cost",
                "msdyn_transaction2type": "msdyn_actual",
            },
        )
    ],
    "dataverse-truncated-update": [
        change(
            "notify",
            "dataverse",
            "msdyn_actual",
            COST,
            "2025-01-09T02:00:11Z",
            event_id="ae4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="8d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a02",
            truncated=True,
        )
    ],
    "dataverse-vendorinvoice-confirmed-update": [
        change(
            "update",
            "dataverse",
            "msdyn_projectvendorinvoice",
            "4b1e3d75-a749-ef11-acce-0022480431d9",
            "2025-01-08T11:00:41Z",
            event_id="7e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="9d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a03",
            version=5950010,
            columns={"statuscode": 900000002, "modifiedon": "2025-01-08T11:00:41Z"},
        )
    ],
    "dataverse-vendorinvoiceline-create": [
        change(
            "create",
            "dataverse",
            "msdyn_projectvendorinvoiceline",
            "5b1e3d75-a749-ef11-acce-0022480431d9",
            "2025-01-08T11:00:00Z",
            event_id="6e4c8a10-9bcd-ef11-b8e8-0022480431d9",
            correlation_id="9d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a03",
            columns={
                "assumed_projectvendorinvoicelineid": "5b1e3d75-a749-ef11-acce-0022480431d9",
                "msdyn_externalinvoiceline": "USPM-PT001100",
                "msdyn_vendorinvoice": {
                    "entity": "msdyn_projectvendorinvoice",
                    "id": "4b1e3d75-a749-ef11-acce-0022480431d9",
                    "name": "Inv-6",
                },
                "msdyn_price": "5000.0",
                "msdyn_quantity": "1.0",
                "msdyn_project": PROJECT,
                "msdyn_owningcompany": USPM,
                "msdyn_transactioncategory": CATEGORY,
                "msdyn_transactionclassification": 192350002,
                "msdyn_billingtype": 192350001,
                "transactioncurrencyid": USD,
                "createdon": "2025-01-08T11:00:00Z",
            },
        )
    ],
    "fno-business-event-custom-integrationjournalposted": [
        change(
            "notify",
            "finance",
            "ProjIntegrationJournalPostedBusinessEvent",
            None,
            "2025-01-09T02:00:10.100000Z",
            event_id="7e47a4cd-6edc-4319-b893-3f862eed65fd",
            company="USPM",
            columns={
                "JournalId": "USPM-000041",
                "LinesPosted": 198,
                "LinesFailed": 2,
                "ErrorJournalId": "USPM-000042",
            },
        )
    ],
    "fno-business-event-vendorinvoiceposted": [
        change(
            "notify",
            "finance",
            "VendorInvoicePostedBusinessEvent",
            None,
            "2025-01-08T10:59:58.294274Z",
            event_id="3c47a4cd-6edc-4319-b893-3f862eed65fd",
            company="USPM",
            columns={
                "InvoiceAccount": "USPM-000011",
                "InvoiceId": "Inv-6",
                "InvoiceDate": MIDNIGHT,
                "InvoiceAmountInAccountingCurrency": "5000.0",
                "LegalEntity": "uspm",
            },
        )
    ],
    "fno-data-event-staging-created": [
        change(
            "create",
            "finance",
            "mserp_projcdsactualsimportentity",
            "00004951-0000-0000-5e1a-005001000000",
            "2025-01-08T09:38:06Z",
            event_id="844bbf91-d451-4cad-a83d-1fea5f32ebaf",
            correlation_id="844bbf91-d451-4cad-a83d-1fea5f32ebaf",
            rec_id="5637151326",
            company="USPM",
            columns=staging(""),
        )
    ],
    "fno-data-event-staging-deleted": [
        change(
            "delete",
            "finance",
            "mserp_projcdsactualsimportentity",
            "00004951-0000-0000-5e1a-005001000000",
            "2025-01-10T02:00:10Z",
            event_id="a44bbf91-d451-4cad-a83d-1fea5f32ebaf",
            correlation_id="a44bbf91-d451-4cad-a83d-1fea5f32ebaf",
            rec_id="5637151326",
        )
    ],
    "fno-data-event-staging-updated": [
        change(
            "update",
            "finance",
            "mserp_projcdsactualsimportentity",
            "00004951-0000-0000-5e1a-005001000000",
            "2025-01-09T02:00:10Z",
            event_id="944bbf91-d451-4cad-a83d-1fea5f32ebaf",
            correlation_id="944bbf91-d451-4cad-a83d-1fea5f32ebaf",
            rec_id="5637151326",
            company="USPM",
            columns=staging("USPM-000051"),
        )
    ],
    "fno-odata-page": [
        change(
            "upsert",
            "finance",
            "ProjCDSActualsImport",
            "5637151326",
            None,
            company="USPM",
            columns={
                "dataAreaId": "uspm",
                "ActualId": COST,
                "Amount": "100.0",
                "TransactionCurrencyId": "USD",
                "ExchangeRate": "100.0",
                "AccountingDate": "2025-01-08T12:00:00Z",
                "Voucher": "",
                "ProjectDataAreaId": "uspm",
                "IsDuplicate": "No",
            },
        )
    ],
}


@pytest.mark.requirement("R2", "R3", "R5", "R9")
@pytest.mark.parametrize(("name", "said"), SAID.items(), ids=SAID.keys())
def test_an_example_says_what_a_person_reads_in_it(name: str, said: list[dict[str, Any]]) -> None:
    value = (EXAMPLES / f"{name}.json").read_bytes()
    assert [change_json(fact) for fact in decode(value, undated=True)] == said  # type: ignore[arg-type]


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(("name", "said"), SAID.items(), ids=SAID.keys())
def test_slashes_may_be_escaped_and_a_byte_order_mark_may_stand_before(name: str, said: list[dict[str, Any]]) -> None:
    text = json.dumps(json.loads((EXAMPLES / f"{name}.json").read_bytes())).replace("/", "\\/")
    facts = decode(b"\xef\xbb\xbf" + text.encode(), undated=True)
    assert [change_json(fact) for fact in facts] == said  # type: ignore[arg-type]


@pytest.mark.requirement("R7")
def test_an_answer_that_refuses_a_request_is_rejected_with_what_it_says() -> None:
    with pytest.raises(Rejected, match=r"status 429: 0x80072322: Number of requests exceeded the limit of 6000"):
        decode((EXAMPLES / "dataverse-429.json").read_bytes())


def test_every_example_has_its_expectation() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == {*SAID, "dataverse-429"}
