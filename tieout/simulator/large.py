"""A group of companies: any number of documents over two fiscal years, in currencies of 0, 2 and 3 decimals.

Generated day by day and discarded story by story, so that memory does not grow with the number of documents.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from random import Random

from tieout.simulator.amounts import rounded
from tieout.simulator.company_story import moment
from tieout.simulator.document_story import DocumentStory, ExpenseStory, InvoiceProgress, InvoiceStory, OutcomeRecorder
from tieout.simulator.event_recorder import EventRecorder, sequential_guid, ticks_of
from tieout.simulator.expenses import ExpenseLine
from tieout.simulator.faults import FAULTS, Fault
from tieout.simulator.faults.after_posting import company_renamed_after_posting
from tieout.simulator.faults.harmless import all_went_well
from tieout.simulator.faults.missing_actuals import feed_silent
from tieout.simulator.integration_account import IntegrationAccount
from tieout.simulator.integration_journal import ActualFlow
from tieout.simulator.invoices import InvoiceLine
from tieout.simulator.reference import Project, ReferenceData, SimulatedCompany, Vendor, load_reference_data
from tieout.simulator.scenario import Label, SimulatedEvent, Summary, TimedEvent
from tieout.simulator.totals import Totals

TODAY = date(2025, 6, 30)
UNTIL = datetime(2025, 6, 30, 18, tzinfo=UTC)
FIRST_DAY = date(2024, 1, 5)
DOCUMENTS = 5_000

_LAST_DAYS = 3
"""Stories that need the next mornings end before these last days begin."""
_BEFORE_POSTING = timedelta(days=2)
"""No event of a story is older than this before its posting."""
_SILENT_DAYS = 10
_QUIET_DAYS = 6
"""Days without postings before Dataverse's feed falls silent, so that each story is sent whole or not at all."""

GROUP = (
    SimulatedCompany("USPM", "Contoso Project Management USA", "USD", "America/Chicago", date(2024, 3, 1)),
    SimulatedCompany("GBPM", "Contoso Project Management UK", "GBP", "Europe/London", date(2024, 7, 1)),
    SimulatedCompany("JPPM", "Contoso Project Management Japan", "JPY", "Asia/Tokyo", date(2025, 1, 1)),
    SimulatedCompany("KWPM", "Contoso Project Management Kuwait", "KWD", "Asia/Kuwait", date(2024, 1, 1)),
    SimulatedCompany("FRPM", "Contoso Project Management France", "EUR", "Europe/Paris", date(2024, 2, 1)),
    SimulatedCompany("DEPM", "Contoso Project Management Germany", "EUR", "Europe/Berlin", date(2024, 4, 1)),
)
COMPANIES = ("USPM", "GBPM", "JPPM", "KWPM", "FRPM")
"""Companies of the environment's settings; both systems know DEPM, but the settings do not name it."""
_SHARES = (40, 25, 15, 15, 3, 5)
_RENAMED = "FRPM"
_RENAMED_ON = date(2024, 9, 20)
_LAST_BEFORE = _RENAMED_ON - timedelta(days=10)
"""Dataverse gives the company another code on a day, and it has no document after the other one."""

_CURRENCIES = ("USD", "GBP", "JPY", "KWD", "EUR")
_WORTH = {
    "USD": Decimal(1),
    "GBP": Decimal("1.27"),
    "JPY": Decimal("0.0066"),
    "KWD": Decimal("3.25"),
    "EUR": Decimal("1.08"),
}
"""Approximate value in US dollars."""
_EXPENSES = ("Flight-Expense", "Hotel-Expense", "Meals-Expense", "Car-Expense", "Taxi-Expense")
_ITEMS = ("Materials-Item", "Subcontract-Item")

_REFERENCE_DATA = ReferenceData(
    companies=GROUP,
    currencies=_CURRENCIES,
    projects=tuple(
        Project(f"{company.code}-P{number:04d}", f"{company.name} {number}", company.code)
        for company in GROUP
        for number in range(1, 31)
    ),
    categories=(*_EXPENSES, *_ITEMS),
    vendors=tuple(
        Vendor(f"{company.code}-V{number:04d}", f"Vendor {number}", company.code)
        for company in GROUP
        for number in range(1, 21)
    ),
    fiscal_years=(2024, 2025),
)


class CountingEventRecorder(EventRecorder):
    """An event recorder that keeps no set of the ids it allocated."""

    _made = 0

    def guid(self, at: datetime) -> str:
        """Allocate an id: a counter within the second of a row's creation."""
        self._made += 1
        return sequential_guid(ticks_of(at) + self._made % 10_000_000)


@dataclass(slots=True)
class WeightedFaults:
    """The faults that may occur in a situation, to draw from by weight."""

    faults: list[Fault]
    weights: list[int]

    @classmethod
    def of(cls, kind: str, *, same_day: bool, exclusive: bool) -> "WeightedFaults":
        """Return the faults of a document kind: same-day ones or all, with or without the exclusive ones."""
        faults = [
            fault
            for fault in FAULTS
            if fault.document in ("", kind)
            and (fault.same_day or not same_day)
            and (exclusive or not (fault.exclusive or fault.currency))
        ]
        return cls(faults, list(accumulate(fault.weight for fault in faults)))

    def draw(self, chance: Random) -> Fault:
        """Draw one of them by weight."""
        return chance.choices(self.faults, cum_weights=self.weights)[0]


class LargeCompany:
    """Generates the stories; `on_label` receives each outcome. Totals are complete after the last story.

    With `silent` Dataverse's feed falls silent ten days before today: later postings cannot be judged. Without
    `heartbeats` neither source is declared complete, so that everything is judged by the rows that are present (R21).
    """

    today = TODAY
    companies = COMPANIES

    def __init__(
        self,
        documents: int = DOCUMENTS,
        seed: int = 1,
        on_label: Callable[[Label], None] = lambda label: None,
        *,
        silent: bool = False,
        heartbeats: bool = True,
    ) -> None:
        if silent and not heartbeats:
            raise ValueError("that a feed is silent is only known by its heartbeats")
        self.documents = documents
        self._beats = heartbeats
        self.recorder = CountingEventRecorder(seed)
        self.chance = self.recorder.chance
        self.silent_from = TODAY - timedelta(days=_SILENT_DAYS) if silent else None
        totals = {
            company.code: Totals(company.code, company.currency, (company.first_open, TODAY)) for company in GROUP
        }
        self.outcomes = OutcomeRecorder(totals, on_label, COMPANIES)
        self._cues = {
            (kind, same_day, exclusive): WeightedFaults.of(kind, same_day=same_day, exclusive=exclusive)
            for kind in ("expense", "invoice")
            for same_day in (False, True)
            for exclusive in (False, True)
        }
        self._numbers = 0
        self._own_numbers = Counter[str]()
        self._silence = next(fault for fault in FAULTS if fault.play is feed_silent)
        self._renamed = next(fault for fault in FAULTS if fault.play is company_renamed_after_posting)
        self._no_fault = next(fault for fault in FAULTS if fault.play is all_went_well)

    # --- the play -----------------------------------------------------------------------------------------------------

    def stories(self) -> Iterator[tuple[date, list[TimedEvent]]]:
        """Yield each story's events with a day; no later event is older than that day less two days."""
        self.flow = ActualFlow(
            self.recorder, load_reference_data(self.recorder, _REFERENCE_DATA, datetime(2023, 12, 1, 8, tzinfo=UTC))
        )
        yield date(2023, 12, 1), self.recorder.drain()
        days = list(self._working_days())
        total_share = sum(share for _, share in days)
        done = 0.0
        for day, share in days:
            done += share
            if day == _RENAMED_ON:
                yield day, self._rename(day)
            while self.outcomes.labels < round(self.documents * done / total_share):
                self._play_document(day)
                yield day, self.recorder.drain()

    def events(self) -> Iterator[SimulatedEvent]:
        """Yield all events in the order of their times, then the heartbeats of both systems."""
        yield from (event for _, _, event in in_order(self.stories()))
        yield from self.heartbeats()

    def heartbeats(self) -> list[SimulatedEvent]:
        """Return heartbeats up to now; for a silent Dataverse, up to its silence."""
        if not self._beats:
            return []
        finance, dataverse = self.recorder.heartbeats(UNTIL)
        if self.silent_from is not None:
            _, dataverse = self.recorder.heartbeats(moment(self.silent_from, 0))
        return [finance, dataverse]

    def summaries(self) -> dict[str, Summary]:
        """Return the expected output of `tieout summary` for each company, after the last story."""
        return {code: totals.as_summary() for code, totals in self.outcomes.totals.items()}

    def accounts(self) -> dict[str, IntegrationAccount]:
        """Return the integration accounts of each company, after the last story."""
        return self.outcomes.accounts

    def _working_days(self) -> Iterator[tuple[date, float]]:
        """Yield the days on which something is posted, with their relative number of postings."""
        day = FIRST_DAY
        while day <= TODAY:
            quiet = self.silent_from is not None and 0 < (self.silent_from - day).days <= _QUIET_DAYS
            if not quiet:
                yield day, 0.1 if day.weekday() > 4 else 1.0
            day += timedelta(days=1)

    def _rename(self, day: date) -> list[TimedEvent]:
        """Return the event by which Dataverse gives a company another code."""
        row, columns = self.flow.reference_ids.lookup("cdm_company", _RENAMED)["id"], {"cdm_companycode": "FRNC"}
        self.recorder.dataverse_updated("cdm_company", row, moment(day, 20), columns)
        return self.recorder.drain()

    def _play_document(self, day: date) -> None:
        company = self.chance.choices(GROUP, _SHARES)[0]
        if company.code == _RENAMED and day > _LAST_BEFORE:
            company = GROUP[0]
        at = moment(day, self.chance.randint(9, 16), self.chance.randrange(60))
        if self.chance.random() < 0.6:
            self._play_expense(company, at)
        else:
            self._play_invoice(company, at)

    def _fault(self, kind: str, company: SimulatedCompany, at: datetime, *, exclusive: bool = True) -> Fault:
        if self.silent_from is not None and at.date() >= self.silent_from:
            return self._silence
        if company.code == _RENAMED:
            return self._renamed
        same_day = (TODAY - at.date()).days < _LAST_DAYS
        fault = self._cues[kind, same_day, exclusive].draw(self.chance)
        # Faults of companies outside the settings do not matter: their documents are excluded.
        return self._no_fault if company.code not in COMPANIES and not same_day else fault

    def _play(self, fault: Fault, story: DocumentStory) -> None:
        self.outcomes.fault, self.outcomes.taken_from = fault.name, fault.taken_from
        story.no_next_day = (TODAY - story.at.date()).days < _LAST_DAYS
        fault.play(story)

    def _play_expense(self, company: SimulatedCompany, at: datetime) -> None:
        fault = self._fault("expense", company, at)
        currency, rate = self._money(company, fault, at.date())
        number = self._next()
        line = ExpenseLine(
            record=self.recorder.record_id("TrvExpTrans"),
            number=number,
            transaction=self._transaction(company, number),
            voucher=f"{company.code}-{number:08d}",
            date=at.date() - timedelta(days=self.chance.randint(0, 3)),
            amount=self._amount(currency),
            category=self.chance.choice(_EXPENSES),
            project=self._project(company),
            company=company.code,
            currency=currency,
            rate=rate,
            accounting_currency=company.currency,
            charged_to=company.code if number % 5 == 0 else "",
        )
        self._play(fault, ExpenseStory(line, at, self.flow, self.outcomes, self.chance))

    def _play_invoice(self, company: SimulatedCompany, at: datetime) -> None:
        first = self._fault("invoice", company, at)
        faults = [first]
        remaining = self.documents - self.outcomes.labels
        if not (first.exclusive or first.currency):
            more = range(min(self.chance.choice((0, 0, 1, 2, 3)), remaining - 1))
            faults += [self._fault("invoice", company, at, exclusive=False) for _ in more]
        currency, rate = self._money(company, first, at.date())
        number = self._next()
        invoice = InvoiceProgress(
            f"INV-{number}",
            f"{company.code}-V{self.chance.randint(1, 20):04d}",
            f"{company.code}-{number:08d}",
            self.flow,
        )
        day = at.date() - timedelta(days=self.chance.randint(0, 2))
        stories = [
            InvoiceStory(
                self._invoice_line(company, line_number, day, currency, rate),
                at,
                self.flow,
                self.outcomes,
                self.chance,
                invoice,
            )
            for line_number in range(1, len(faults) + 1)
        ]
        for fault, story in zip(faults, stories, strict=True):
            self._play(fault, story)

    def _invoice_line(
        self, company: SimulatedCompany, line_number: int, day: date, currency: str, rate: Decimal
    ) -> InvoiceLine:
        number = self._next()
        return InvoiceLine(
            record=self.recorder.record_id("VendInvoiceTrans"),
            line_number=line_number,
            source_line=5_637_200_000 + number,
            transaction=self._transaction(company, number),
            date=day,
            amount=self._amount(currency),
            category=self.chance.choice(_ITEMS),
            project=self._project(company),
            project_company=company.code,
            company=company.code,
            currency=currency,
            rate=rate,
            accounting_currency=company.currency,
        )

    # --- what is drawn ------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _transaction(self, company: SimulatedCompany, number: int) -> str:
        """Return a transaction id; every third one is also used by other companies."""
        if number % 3:
            return f"{company.code}-PT{number:08d}"
        self._own_numbers[company.code] += 1
        return f"PT{self._own_numbers[company.code]:08d}"

    def _project(self, company: SimulatedCompany) -> str:
        return f"{company.code}-P{self.chance.randint(1, 30):04d}"

    def _money(self, company: SimulatedCompany, fault: Fault, day: date) -> tuple[str, Decimal]:
        """Return a currency and its rate (times 100) of a day; a third of the documents is in a foreign currency."""
        foreign = fault.currency == "foreign" or (fault.currency == "" and self.chance.random() < 0.33)
        if not foreign:
            return company.currency, Decimal(100)
        currency = self.chance.choice([code for code in _CURRENCIES if code != company.currency])
        drift = 1 + Decimal(day.toordinal() % 61 - 30) / 1000
        rate = 100 * _WORTH[currency] / _WORTH[company.currency] * drift
        return currency, rate.quantize(Decimal("0.000001"))

    def _amount(self, currency: str) -> Decimal:
        """Draw an amount between 10 and 5,000 US dollars, in a currency."""
        return rounded(Decimal(self.chance.randrange(1_000, 500_000)) / 100 / _WORTH[currency], currency)


def in_order(stories: Iterable[tuple[date, list[TimedEvent]]]) -> Iterator[TimedEvent]:
    """Merge overlapping stories by the times of their events; only the events of the last days wait in memory."""
    waiting: list[TimedEvent] = []
    for day, story in stories:
        for entry in story:
            heapq.heappush(waiting, entry)
        reached = moment(day, 0) - _BEFORE_POSTING
        while waiting and waiting[0][0] < reached:
            yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)
