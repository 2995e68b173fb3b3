"""Hypothesis strategies for histories: what both systems could have sent about a few documents.

A history is the set of events; `deliveries` is one way in which it can arrive. Ids come from small pools, and documents
may borrow ids of one another, so that keys collide, rows move between documents, and chains join and split. Everything
is drawn from hypothesis: a failing history shrinks to few documents, few steps and no faults.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from tests.support.history_documents import EXPENSE, INVOICE_LINE, Plan, vendor, vendor_guid
from tests.support.history_events import (
    AMOUNTS,
    BEGINNING,
    COMPANIES,
    COMPANY_GUIDS,
    CURRENCY_GUIDS,
    Columns,
    Event,
    Step,
    deletion,
    finance,
    heartbeat,
    rec_id,
    row_event,
    stamp,
)
from tests.support.history_faults import steps_of

# A document may take one of these ids from another document.
IDS = (
    "transaction",
    "line",
    "source line",
    "pending",
    "record",
    "header",
    "actual",
    "staging",
    "journal line",
    "journal",
)
# Faults of a document besides its lifecycle.
FAULTS = (
    "actual deleted", "actual in another currency", "actual in another currency with accounting amount",
    "amount differs", "cancelled in dataverse", "cancelled in finance", "company column corrected",
    "duplicated staging row", "external id corrected", "external id in another case", "header cancelled",
    "intercompany", "journal deleted", "journal line deleted", "journal line moved", "line deleted", "line re-created",
    "manual verification", "net amount", "no accounting amount", "no date", "no project", "no rate",
    "no source document", "no transaction id", "of a purchase order", "pending rows deleted", "pending rows unknown",
    "project not sent",
    "re-imported", "record deleted", "record re-created", "rejected", "replaced", "reversed", "sales actual",
    "second actual", "second record", "skip sync", "source document moved", "staging deleted",
    "status on the journal only", "transaction id changed",
)  # fmt: skip
# The faults that affect actuals and journal lines most; drawn again, so that they are frequent.
CORRECTIONS = (
    "reversed", "replaced", "second actual", "sales actual", "journal line deleted", "re-imported",
    "pending rows unknown",
)  # fmt: skip
# The faults that decide which lines of an invoice belong together.
LOOKALIKE_FAULTS = (
    "pending rows unknown", "pending rows unknown", "pending rows deleted", "line deleted", "record deleted",
    "second record", "no project", "transaction id changed", "external id corrected", "project not sent",
)  # fmt: skip
# What can happen to one event on its way. The number is the event's place in the history, from the front.
QUIRKS = (
    "never sent", "an hour earlier", "at the same time as the one before", "version 1", "version 2",
    "modified earlier", "modified later", "without company", "contradicted at the same time",
    "contradicted by an older version", "voided at the same time",
)  # fmt: skip
# Entities that an environment may not send at all.
MAY_BE_UNSENT = (
    "cdm_company", "transactioncurrency", "msdyn_projectvendorinvoice", "VendInvoiceJour", "ProjAdvancedJournal",
    "ProjAdvancedJournalLine", "ProjCDSActualsImport", "msdyn_expense", "msdyn_actual", "account",
)  # fmt: skip
# For "contradicted": another value of the same column.
CONTRADICTIONS: Columns = {
    "AmountCurr": "77.00", "LineAmount": "77.00", "msdyn_amount": "77.00", "Status": 1, "ApprovalStatus": 8,
    "msdyn_expensestatus": 192350001, "statuscode": 900000000, "ProjTransId": "000001", "ProjAdvancedJournalLine": 0,
    "msdyn_externalinvoiceline": "000001", "assumed_externalexpenseid": "000001", "LedgerVoucher": "USPM-999",
    "isocurrencycode": "EUR", "cdm_companycode": "GBPM", "msdyn_transaction1role": "Replacing",
    "accountnumber": "V-1", "msdyn_vendorinvoicenumber": "Inv-1", "assumed_linenumber": "2", "InvoiceAccount": "V-1",
}  # fmt: skip


def reference_data(accounting: dict[str, str], open_periods: tuple[bool, ...]) -> list[Step]:
    """Companies, currencies, and the calendar of 2024 and 2025: an opening period and two operating ones a year."""
    steps = [
        Step("dataverse", "cdm_company", COMPANY_GUIDS[company], {"cdm_companycode": company}) for company in COMPANIES
    ]
    steps += [
        Step("dataverse", "transactioncurrency", id_, {"isocurrencycode": code}) for code, id_ in CURRENCY_GUIDS.items()
    ]
    steps += [Step("dataverse", "account", vendor_guid(n), {"accountnumber": vendor(n)}) for n in (1, 2)]
    ledgers = []
    for n, company in enumerate(COMPANIES, 1):
        info, ledger = rec_id(20, n), rec_id(21, n)
        currency, calendar = accounting[company], int(rec_id(22, 1))
        steps.append(finance("CompanyInfo", info, company, DataArea=company.lower(), Name=f"{company} Ltd"))
        columns = {"PrimaryForLegalEntity": int(info), "AccountingCurrency": currency, "FiscalCalendar": calendar}
        steps.append(finance("Ledger", ledger, company, **columns))
        ledgers.append(ledger)
    for n, year in enumerate((2024, 2025)):
        columns = {"FiscalCalendar": int(rec_id(22, 1)), "StartDate": f"{year}-01-01", "EndDate": f"{year}-12-31"}
        steps.append(Step("finance", "FiscalCalendarYear", rec_id(23, n), columns))
        periods = (("01-01", "01-01", 0), ("01-01", "06-30", 1), ("07-01", "12-31", 1))
        for m, (first, last, type_) in enumerate(periods):
            period = rec_id(24, 10 * n + m)
            columns = {
                "FiscalCalendarYear": int(rec_id(23, n)),
                "StartDate": f"{year}-{first}",
                "EndDate": f"{year}-{last}",
                "Type": type_,
            }
            steps.append(Step("finance", "FiscalCalendarPeriod", period, columns))
            for k, ledger in enumerate(ledgers):
                status = 1 if open_periods[3 * n + m] else 2
                columns = {"Ledger": int(ledger), "FiscalCalendarPeriod": int(period), "Status": status}
                steps.append(Step("finance", "LedgerFiscalCalendarPeriod", rec_id(25, 10 * (3 * n + m) + k), columns))
    return steps


def some(of: Iterable[Any], at_most: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(list(of)), max_size=at_most, unique=True).map(tuple)


@st.composite
def plans(draw: st.DrawFn, number: int, accounting: dict[str, str]) -> Plan:
    """One document of the history."""
    company = draw(st.sampled_from(COMPANIES))
    currency = draw(st.sampled_from(list(AMOUNTS)))
    return Plan(
        number=number,
        kind=draw(st.sampled_from((EXPENSE, INVOICE_LINE))),
        company=company,
        accounting=accounting[company],
        currency=currency,
        amount=draw(st.sampled_from(AMOUNTS[currency])),
        on=draw(st.sampled_from(("2025-01-08", "2024-06-30", "2025-01-09"))),
        stage=draw(st.sampled_from((*range(10), 6, 7, 8, 9))),
        skipped=draw(some(range(12), 2)),
        faults=tuple(dict.fromkeys(draw(some(FAULTS, 3)) + draw(some(CORRECTIONS, 2)))),
        borrowed=draw(some(IDS, 2)),
        other=draw(st.integers(1, 3)),
        scope=draw(st.sampled_from(("both", "event", "column", "nowhere"))),
        link=draw(st.sampled_from(("lookup", "origin", "both"))),
        first_status=draw(st.sampled_from((6, 3, 5, 2, 8))),
        line_status=draw(st.sampled_from((0, 1, 2, 3, 4, 5, 99, None))),
        correction_stage=draw(st.integers(0, 5)),
    )


@st.composite
def histories(draw: st.DrawFn, max_documents: int = 6, *, heartbeats: bool = True) -> list[Event]:
    """All events of one to six documents over two companies, with the reference data around them."""
    accounting = {"USPM": "USD", "GBPM": draw(st.sampled_from(("USD", "JPY")))}
    count = draw(st.integers(1, max_documents))
    documents = [draw(plans(number, accounting)) for number in range(1, count + 1)]
    unsent = set(draw(some(MAY_BE_UNSENT, 2)))
    open_periods = (*draw(st.tuples(*[st.booleans()] * 5)), False)  # none that begins after today
    steps = [step for plan in documents for step in steps_of(plan)]
    places = st.tuples(st.integers(0, len(steps) + 5), st.sampled_from(QUIRKS))  # companies and currencies too
    steps = [step for step in steps + reference_data(accounting, open_periods) if step.entity not in unsent]
    events = stamped(steps, dict(draw(st.lists(places, max_size=8))))
    for system in ("finance", "dataverse"):
        # Well before or well after everything else: which time a step has is not the question here.
        days = draw(st.sampled_from((None, None, 1, -1))) if heartbeats else None
        if days is not None:
            events.append(heartbeat(system, BEGINNING + timedelta(days=days)))
    return events


@st.composite
def lookalikes(draw: st.DrawFn) -> list[Event]:
    """Lines of one vendor invoice that differ in little, some with their pending rows, some with their lines in
    Dataverse.
    """
    steps = reference_data({"USPM": "USD", "GBPM": "USD"}, (True,) * 6)
    for number in range(1, draw(st.integers(2, 4)) + 1):
        plan = Plan(
            number=number,
            kind=INVOICE_LINE,
            company="USPM",
            accounting="USD",
            currency="USD",
            amount=draw(st.sampled_from(("10.00", "20.00"))),
            on="2025-01-08",
            stage=draw(st.sampled_from((1, 2, 4, 5))),
            skipped=draw(some((0, 1, 3), 1)),
            faults=draw(some(LOOKALIKE_FAULTS, 2)),
            borrowed=("header", *draw(some(("transaction", "source line", "pending"), 1))),
            other=1,
            scope="event",
            link="lookup",
            first_status=6,
            line_status=0,
            correction_stage=0,
        )
        steps += steps_of(plan)
    return stamped(steps, dict(draw(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(QUIRKS)), max_size=4))))


def stamped(steps: list[Step], quirks: dict[int, str]) -> list[Event]:
    """One event a minute, each with what happened to it on its way."""
    events: list[Event] = []
    previous = BEGINNING
    for n, step in enumerate(steps):
        quirk = quirks.get(n)
        time = previous + timedelta(minutes=1)
        match quirk:
            case "never sent":
                continue
            case "an hour earlier":
                events.append(row_event(step, n, time - timedelta(hours=1)))
            case "at the same time as the one before":
                events.append(row_event(step, n, previous))
            case "version 1" | "version 2":
                # Together with its neighbour at the same time the version decides.
                events.append(row_event(step, n, previous, int(quirk[-1])))
            case "modified earlier" | "modified later" if step.system == "dataverse" and not step.delete:
                shift = timedelta(minutes=-30 if quirk == "modified earlier" else 30)
                columns = {**step.columns, "modifiedon": stamp(time + shift)}
                events.append(row_event(replace(step, columns=columns), n, time))
            case "without company" if step.system == "dataverse":
                events.append(row_event(replace(step, company=None), n, time))
            case "contradicted at the same time" | "contradicted by an older version":
                other = {c: CONTRADICTIONS[c] for c in step.columns if c in CONTRADICTIONS}
                newer, older = (2, 1) if quirk.endswith("version") else (None, None)
                events.append(row_event(step, n, time, newer))
                events.append(row_event(replace(step, columns=other), 1000 + n, time, older))
            case "voided at the same time":
                events.append(row_event(step, n, time))
                events.append(row_event(deletion(step), 1000 + n, time))
            case _:
                events.append(row_event(step, n, time))
        previous = time
    return events


def deliveries(events: list[Event]) -> st.SearchStrategy[list[Event]]:
    """One way the events can arrive: in any order, some of them twice."""
    again = st.lists(st.sampled_from(events), max_size=5)
    return again.flatmap(lambda twice: st.permutations([*events, *twice]))
