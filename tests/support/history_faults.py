"""Everything that happened to a document of a generated history: its lifecycle up to a stage, then its faults."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.support.history_documents import (
    EXPENSE,
    INVOICE_LINE,
    UNBILLED_SALES,
    Plan,
    actual_tail,
    dataverse,
    expense_beginning,
    invoice_beginning,
    record_created,
    staging_of,
)
from tests.support.history_events import COMPANY_GUIDS, CURRENCY_GUIDS, Step, deletion, finance, guid, lookup


def steps_of(plan: Plan) -> list[Step]:
    """Everything that happened to a document: its lifecycle up to its stage, then its faults."""
    beginning = expense_beginning(plan) if plan.kind == EXPENSE else invoice_beginning(plan)
    tail = actual_tail(plan, plan.actual, plan.n("actual"), plan.amount if not plan.has("amount differs") else "7.00")
    lifecycle = [*beginning, *tail]
    sent = [step for n, step in enumerate(lifecycle[: plan.stage + 1]) if n not in plan.skipped]
    return [change for step in sent for change in step] + [
        change for fault in plan.faults for change in consequences(plan, fault)
    ]


def consequences(plan: Plan, fault: str) -> list[Step]:
    """Return what a fault adds after the lifecycle. Faults not named here have shaped the lifecycle itself."""
    return [
        *line_faults(plan, fault),
        *journal_faults(plan, fault),
        *record_faults(plan, fault),
        *actual_faults(plan, fault),
    ]


def set_(step: Step, **columns: Any) -> Step:
    """Return the change of columns of the same row."""
    return replace(step, columns=columns)


def line_faults(plan: Plan, fault: str) -> list[Step]:
    """Return what a fault changes at the posted and pending lines in Finance."""
    entity = "TrvExpTrans" if plan.kind == EXPENSE else "VendInvoiceTrans"
    line = finance(entity, plan.line, plan.company)
    record = dataverse(plan, plan.record_entity, plan.record)
    pending = finance("VendInvoiceInfoLine", plan.rec_id(4, plan.n("pending")), plan.company)
    project = finance("VendInvoiceInfoLine_Project", plan.rec_id(5, plan.n("pending")), plan.company)
    match fault:
        case "line deleted":
            return [deletion(line)]
        case "line re-created" if plan.kind == EXPENSE:
            return [deletion(line), *expense_beginning(plan)[0], set_(line, ApprovalStatus=6)]
        case "pending rows deleted" if plan.kind == INVOICE_LINE:
            return [deletion(pending), deletion(project)]
        case "transaction id changed":
            return [set_(line if plan.kind == EXPENSE else project, ProjTransId=plan.other_transaction)]
        case "external id in another case":
            return [
                set_(record, **{plan.external_column: f"pt-{plan.transaction}"}),
                set_(line if plan.kind == EXPENSE else project, ProjTransId=f"PT-{plan.transaction}"),
            ]
    return []


def journal_faults(plan: Plan, fault: str) -> list[Step]:
    """Return what a fault changes at staging rows and journals."""
    n = plan.n("actual")
    staging = finance("ProjCDSActualsImport", staging_of(plan, n), plan.company)
    journal = finance("ProjAdvancedJournal", plan.rec_id(9, plan.n("journal")), plan.company)
    journal_line = finance("ProjAdvancedJournalLine", plan.rec_id(8, plan.n("journal line")), plan.company)
    again = 100 + n  # a number of its own for a second row
    match fault:
        case "duplicated staging row":
            columns = {"ActualId": plan.actual, "ProjAdvancedJournalLine": 0}
            return [finance("ProjCDSActualsImport", plan.rec_id(7, again), plan.company, **columns)]
        case "staging deleted":
            return [deletion(staging)]
        case "journal deleted":
            return [deletion(journal)]
        case "journal line deleted":
            return [deletion(journal_line)]
        case "journal line moved":
            moved = finance("ProjAdvancedJournal", plan.rec_id(9, again), plan.company)
            return [
                set_(moved, ProjAdvancedJournalId=f"J-{again}", Status=1),
                set_(journal_line, ProjAdvancedJournal=int(moved.id)),
            ]
        case "re-imported":
            new = finance("ProjAdvancedJournalLine", plan.rec_id(8, again), plan.company)
            return [
                deletion(journal_line),
                set_(new, ProjAdvancedJournal=int(journal.id), Voucher=f"PJ-{again}", Status=plan.line_status),
                set_(staging, ProjAdvancedJournalLine=int(new.id)),
            ]
    return []


def record_faults(plan: Plan, fault: str) -> list[Step]:
    """Return what a fault changes at the expense or invoice in Dataverse."""
    record = dataverse(plan, plan.record_entity, plan.record)
    header = dataverse(plan, "msdyn_projectvendorinvoice", plan.header)
    again = 100 + plan.n("actual")  # a number of its own for a second row
    match fault:
        case "cancelled in dataverse":
            return [set_(record, statecode=1)]
        case "company column corrected":
            owner = lookup("cdm_company", COMPANY_GUIDS[plan.company])
            return [set_(record, **{plan.company_column: owner})]
        case "external id corrected":
            return [set_(record, **{plan.external_column: plan.transaction})]
        case "header cancelled" if plan.kind == INVOICE_LINE:
            return [set_(header, statuscode=900000003)]
        case "record deleted":
            return [deletion(record)]
        case "record re-created":
            return [deletion(record), record_created(plan, plan.record)]
        case "rejected" if plan.kind == EXPENSE:
            return [set_(record, msdyn_expensestatus=192350003)]
        case "second record":
            return [record_created(plan, plan.record_of(again))]
    return []


def actual_faults(plan: Plan, fault: str) -> list[Step]:
    """Return what a fault changes at actuals."""
    actual = dataverse(plan, "msdyn_actual", plan.actual)
    again = 100 + plan.n("actual")  # a number of its own for a second row
    match fault:
        case "actual deleted":
            return [deletion(actual)]
        case "source document moved":
            return [set_(actual, assumed_sourcedocument=lookup(plan.record_entity, plan.record_of(plan.other)))]
        case "replaced":
            return correction(plan, "Replacing", plan.amount)
        case "reversed":
            return correction(plan, "Reversing", str(-Decimal(plan.amount)))
        case "sales actual":
            sales = guid(0xA0, again + 300)
            columns = {
                "msdyn_transactiontypecode": UNBILLED_SALES,
                "msdyn_amount": "120.00",
                "transactioncurrencyid": lookup("transactioncurrency", CURRENCY_GUIDS[plan.currency]),
                "assumed_sourcedocument": lookup(plan.record_entity, plan.record),
            }
            roles = {"msdyn_transaction1role": "Unbilled Sales", "msdyn_transaction2role": "Cost"}
            ends = {"msdyn_transaction1": sales, "msdyn_transaction2": plan.actual}
            return [
                dataverse(plan, "msdyn_actual", sales, "assumed_owningcompany", **columns),
                dataverse(plan, "msdyn_transactionconnection", guid(0xAC, again + 300), **ends, **roles),
            ]
        case "second actual":
            tail = actual_tail(plan, guid(0xA0, again), again, "4.00")[: plan.correction_stage + 1]
            return [change for step in tail for change in step]
    return []


def correction(plan: Plan, role: str, amount: str) -> list[Step]:
    """A reversal or replacement; a connection identifies its original, the source is optional."""
    m = 100 + plan.n("actual") + (100 if role == "Reversing" else 200)
    id_ = guid(0xA0, m)
    connected = dataverse(
        plan,
        "msdyn_transactionconnection",
        guid(0xAC, m),
        msdyn_transaction1=id_,
        msdyn_transaction1role=role,
        msdyn_transaction2=plan.actual,
        msdyn_transaction2role="Original",
    )
    tail = actual_tail(plan, id_, m, amount, with_source=False)[: plan.correction_stage + 1]
    return [connected, *(change for step in tail for change in step)]
