"""A group of companies: any number of documents over two fiscal years, in currencies of 0, 2 and 3 decimals.

Told day by day and forgotten story by story, so that memory does not grow with the number of documents.
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
from tieout.simulator.document_story import ExpensePaper, InvoiceOnItsWay, InvoicePaper, Paper, Truth
from tieout.simulator.event_recorder import World, sequential_guid, ticks_of
from tieout.simulator.expenses import ExpenseLine
from tieout.simulator.faults import FAULTS, Fault
from tieout.simulator.faults.harmless import all_went_well
from tieout.simulator.faults.missing_actuals import feed_silent
from tieout.simulator.integration_journal import Tail
from tieout.simulator.invoices import InvoiceLine
from tieout.simulator.reference import Company, Masters, Project, Vendor, load_masters
from tieout.simulator.scenario import Entry, Event, Label, Summary
from tieout.simulator.totals import Totals

TODAY = date(2025, 6, 30)
UNTIL = datetime(2025, 6, 30, 18, tzinfo=UTC)
FIRST_DAY = date(2024, 1, 5)
DOCUMENTS = 5_000

_BRIEF_DAYS = 3
"""Stories that need the next mornings are over before the last days begin."""
_BEFORE_POSTING = timedelta(days=2)
"""No event of a story comes earlier than this before its posting."""
_SILENT_DAYS = 10
_QUIET_DAYS = 6
"""Before Dataverse's feed falls silent nobody posts for some days, so that each story is told whole or not at all."""

GROUP = (
    Company("USPM", "Contoso Project Management USA", "USD", "America/Chicago", date(2024, 3, 1)),
    Company("GBPM", "Contoso Project Management UK", "GBP", "Europe/London", date(2024, 7, 1)),
    Company("JPPM", "Contoso Project Management Japan", "JPY", "Asia/Tokyo", date(2025, 1, 1)),
    Company("KWPM", "Contoso Project Management Kuwait", "KWD", "Asia/Kuwait", date(2024, 1, 1)),
    Company("DEPM", "Contoso Project Management Germany", "EUR", "Europe/Berlin", date(2024, 4, 1)),
)
COMPANIES = ("USPM", "GBPM", "JPPM", "KWPM")
"""The companies of the environment's settings; DEPM is known to both systems, but not among them."""
_SHARES = (40, 25, 15, 15, 5)

_CURRENCIES = ("USD", "GBP", "JPY", "KWD", "EUR")
_WORTH = {
    "USD": Decimal(1),
    "GBP": Decimal("1.27"),
    "JPY": Decimal("0.0066"),
    "KWD": Decimal("3.25"),
    "EUR": Decimal("1.08"),
}
"""Roughly, in US dollars."""
_EXPENSES = ("Flight-Expense", "Hotel-Expense", "Meals-Expense", "Car-Expense", "Taxi-Expense")
_ITEMS = ("Materials-Item", "Subcontract-Item")

_MASTERS = Masters(
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


class LargeWorld(World):
    """A world that keeps no list of the ids it gave."""

    _made = 0

    def guid(self, at: datetime) -> str:
        """A new id: a counter within the second of a row's making."""
        self._made += 1
        return sequential_guid(ticks_of(at) + self._made % 10_000_000)


@dataclass(slots=True)
class Cues:
    """The stories that may be told in a situation, to draw from."""

    faults: list[Fault]
    weights: list[int]

    @classmethod
    def of(cls, kind: str, *, brief: bool, alone: bool) -> "Cues":
        """The stories for a kind of document, those that are over soon or all, with those that stand alone or not."""
        faults = [
            fault
            for fault in FAULTS
            if fault.of in ("", kind) and (fault.brief or not brief) and (alone or not (fault.alone or fault.money))
        ]
        return cls(faults, list(accumulate(fault.weight for fault in faults)))

    def draw(self, chance: Random) -> Fault:
        """One of them, by weight."""
        return chance.choices(self.faults, cum_weights=self.weights)[0]


class LargeCompany:
    """The play: `stories` tells it, `on_label` hears each outcome; totals and strays are complete at its end.

    With `silent` Dataverse's feed falls silent ten days before today: what is posted after that nobody can judge.
    Without `heartbeats` nobody says how much has been sent, and everything is judged by what is there (R21).
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
        self.world = LargeWorld(seed)
        self.chance = self.world.chance
        self.silent_from = TODAY - timedelta(days=_SILENT_DAYS) if silent else None
        totals = {
            company.code: Totals(company.code, company.currency, (company.first_open, TODAY)) for company in GROUP
        }
        self.truth = Truth(totals, on_label, COMPANIES)
        self._cues = {
            (kind, brief, alone): Cues.of(kind, brief=brief, alone=alone)
            for kind in ("expense", "invoice")
            for brief in (False, True)
            for alone in (False, True)
        }
        self._numbers = 0
        self._own_numbers = Counter[str]()
        self._silence = next(fault for fault in FAULTS if fault.tell is feed_silent)
        self._well = next(fault for fault in FAULTS if fault.tell is all_went_well)

    # --- the play -----------------------------------------------------------------------------------------------------

    def stories(self) -> Iterator[tuple[date, list[Entry]]]:
        """Each story's events, with the day before which nothing comes any more (less two days)."""
        self.tail = Tail(self.world, load_masters(self.world, _MASTERS, datetime(2023, 12, 1, 8, tzinfo=UTC)))
        yield date(2023, 12, 1), self.world.take()
        days = list(self._working_days())
        whole = sum(share for _, share in days)
        done = 0.0
        for day, share in days:
            done += share
            while self.truth.labels < round(self.documents * done / whole):
                self._tell(day)
                yield day, self.world.take()

    def events(self) -> Iterator[Event]:
        """All events in the order of their times, then the heartbeats of both systems."""
        yield from (event for _, _, event in in_order(self.stories()))
        yield from self.heartbeats()

    def heartbeats(self) -> list[Event]:
        """Everything up to now has been sent; of a silent Dataverse, everything up to its silence."""
        if not self._beats:
            return []
        finance, dataverse = self.world.complete(UNTIL)
        if self.silent_from is not None:
            _, dataverse = self.world.complete(moment(self.silent_from, 0))
        return [finance, dataverse]

    def summaries(self) -> dict[str, Summary]:
        """What `tieout summary` should say of each company, once the play is over."""
        return {code: totals.as_summary() for code, totals in self.truth.totals.items()}

    def _working_days(self) -> Iterator[tuple[date, float]]:
        """The days on which something is posted, and how much."""
        day = FIRST_DAY
        while day <= TODAY:
            quiet = self.silent_from is not None and 0 < (self.silent_from - day).days <= _QUIET_DAYS
            if not quiet:
                yield day, 0.1 if day.weekday() > 4 else 1.0
            day += timedelta(days=1)

    def _tell(self, day: date) -> None:
        company = self.chance.choices(GROUP, _SHARES)[0]
        at = moment(day, self.chance.randint(9, 16), self.chance.randrange(60))
        if self.chance.random() < 0.6:
            self._tell_expense(company, at)
        else:
            self._tell_invoice(company, at)

    def _fault(self, kind: str, company: Company, at: datetime, *, alone: bool = True) -> Fault:
        if self.silent_from is not None and at.date() >= self.silent_from:
            return self._silence
        brief = (TODAY - at.date()).days < _BRIEF_DAYS
        fault = self._cues[kind, brief, alone].draw(self.chance)
        # What befalls documents of a company outside the settings interests nobody.
        return self._well if company.code not in COMPANIES and not brief else fault

    def _play(self, fault: Fault, paper: Paper) -> None:
        self.truth.fault, self.truth.taken_from = fault.name, fault.taken_from
        paper.hurried = (TODAY - paper.at.date()).days < _BRIEF_DAYS
        fault.tell(paper)

    def _tell_expense(self, company: Company, at: datetime) -> None:
        fault = self._fault("expense", company, at)
        currency, rate = self._money(company, fault, at.date())
        number = self._next()
        line = ExpenseLine(
            record=self.world.record_id("TrvExpTrans"),
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
        self._play(fault, ExpensePaper(line, at, self.tail, self.truth, self.chance))

    def _tell_invoice(self, company: Company, at: datetime) -> None:
        first = self._fault("invoice", company, at)
        faults = [first]
        left = self.documents - self.truth.labels
        if not (first.alone or first.money):
            more = range(min(self.chance.choice((0, 0, 1, 2, 3)), left - 1))
            faults += [self._fault("invoice", company, at, alone=False) for _ in more]
        currency, rate = self._money(company, first, at.date())
        number = self._next()
        invoice = InvoiceOnItsWay(
            f"INV-{number}",
            f"{company.code}-V{self.chance.randint(1, 20):04d}",
            f"{company.code}-{number:08d}",
            self.tail,
        )
        day = at.date() - timedelta(days=self.chance.randint(0, 2))
        papers = [
            InvoicePaper(
                self._invoice_line(company, place, day, currency, rate),
                at,
                self.tail,
                self.truth,
                self.chance,
                invoice,
            )
            for place in range(1, len(faults) + 1)
        ]
        for fault, paper in zip(faults, papers, strict=True):
            self._play(fault, paper)

    def _invoice_line(self, company: Company, place: int, day: date, currency: str, rate: Decimal) -> InvoiceLine:
        number = self._next()
        return InvoiceLine(
            record=self.world.record_id("VendInvoiceTrans"),
            line_number=place,
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

    def _transaction(self, company: Company, number: int) -> str:
        """A transaction id; every third is one that the other companies give as well."""
        if number % 3:
            return f"{company.code}-PT{number:08d}"
        self._own_numbers[company.code] += 1
        return f"PT{self._own_numbers[company.code]:08d}"

    def _project(self, company: Company) -> str:
        return f"{company.code}-P{self.chance.randint(1, 30):04d}"

    def _money(self, company: Company, fault: Fault, day: date) -> tuple[str, Decimal]:
        """A currency and its rate (times 100) of a day; a third of the documents is in a currency not the company's."""
        foreign = fault.money == "foreign" or (fault.money == "" and self.chance.random() < 0.33)
        if not foreign:
            return company.currency, Decimal(100)
        currency = self.chance.choice([code for code in _CURRENCIES if code != company.currency])
        drift = 1 + Decimal(day.toordinal() % 61 - 30) / 1000
        rate = 100 * _WORTH[currency] / _WORTH[company.currency] * drift
        return currency, rate.quantize(Decimal("0.000001"))

    def _amount(self, currency: str) -> Decimal:
        """Between 10 and 5,000 US dollars, in a currency."""
        return rounded(Decimal(self.chance.randrange(1_000, 500_000)) / 100 / _WORTH[currency], currency)


def in_order(stories: Iterable[tuple[date, list[Entry]]]) -> Iterator[Entry]:
    """The events of overlapping stories by their times; only those of the last days wait in memory."""
    waiting: list[Entry] = []
    for day, story in stories:
        for entry in story:
            heapq.heappush(waiting, entry)
        reached = moment(day, 0) - _BEFORE_POSTING
        while waiting and waiting[0][0] < reached:
            yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)
