"""Expenses of the small company: every course an expense can take, on its date, with its outcome."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count

from tieout.simulator import expenses as state
from tieout.simulator import integration_journal as line_state
from tieout.simulator.company_story import CompanyScenario, cents, moment, money
from tieout.simulator.expenses import ExpenseLine
from tieout.simulator.integration_journal import Actual, DocumentLine, SourceRecord
from tieout.simulator.scenario import ZERO

TODAY = date(2025, 1, 8)
PROJECTS = ("P-001000-D", "P-001001-D", "P-001002-D", "P-001003-D")
CATEGORIES = ("Flight-Expense", "Hotel-Expense", "Meals-Expense", "Car-Expense", "Taxi-Expense")

_EXPORTED = timedelta(seconds=4)
_DECIDED = timedelta(seconds=40)
_ACTUAL = timedelta(seconds=46)
_PLAIN_RECONCILED = 44
_FIRST_NUMBER = 301
_FIRST_NUMBER_TODAY = 450

StoryFunction = Callable[[ExpenseLine, datetime], None]


@dataclass(frozen=True, slots=True)
class PlannedExpense:
    """A story with its line: date, amount and currency."""

    day: date
    amount: Decimal
    story: StoryFunction
    currency: str = "USD"
    rate: Decimal = Decimal(100)


def play_expenses(scenario: CompanyScenario) -> None:
    """Simulate all expenses in the order of their dates."""
    stories = ExpenseStories(scenario)
    stories.play_year()
    stories.play_today()
    stories.play_other_company()
    stories.play_time()


class ExpenseStories:
    """The stories of expenses; each one ends by recording its true outcome."""

    def __init__(self, scenario: CompanyScenario) -> None:
        self.scenario = scenario
        self.flow = scenario.flow
        self.expenses = scenario.expenses
        self._numbers: Iterator[int] = count(_FIRST_NUMBER)
        self._exported = 0
        self._booked: Actual | None = None

    def play_year(self) -> None:
        """Simulate the expenses before today, a few days apart, posted some days after their date."""
        for planned in sorted([*self._plain_scenes(), *self._special_scenes()], key=lambda planned: planned.day):
            line = self._line(planned, next(self._numbers))
            posted = planned.day + timedelta(days=self.scenario.recorder.chance.randint(1, 3))
            minute = self.scenario.recorder.chance.randrange(0, 60)
            planned.story(line, moment(posted, self.scenario.recorder.chance.randint(9, 16), minute))

    def play_today(self) -> None:
        """Simulate the forty flights of 8 January without actuals, and the expenses that are not posted yet."""
        stories = self._flight_stories()
        self.scenario.recorder.chance.shuffle(stories)
        for index, story in enumerate(stories):
            line = self._line(PlannedExpense(TODAY, money(100), story), _FIRST_NUMBER_TODAY + index)
            line = replace(line, category="Flight-Expense", project="P-001000-D")
            story(line, moment(TODAY, 8) + timedelta(minutes=7 * index))
        for index, status in enumerate((state.APPROVED, state.APPROVED, state.READY, state.APPROVED)):
            planned = PlannedExpense(TODAY - timedelta(days=index), money(60 + 15 * index), self.reconciled)
            line = replace(self._line(planned, _FIRST_NUMBER_TODAY + 60 + index), voucher="")
            self._not_posted(line, moment(TODAY, 10, index), status)

    def play_other_company(self) -> None:
        """Simulate a complete expense of a company that the environment's settings do not name."""
        line = ExpenseLine(
            record=self.scenario.recorder.record_id("TrvExpTrans"),
            number=1,
            transaction="GBPM-PT000001",
            voucher="GBPM-000001",
            date=date(2024, 10, 14),
            amount=money(80),
            category="Hotel-Expense",
            project="P-002000-G",
            company="GBPM",
            currency="GBP",
            accounting_currency="GBP",
        )
        at = moment(date(2024, 10, 15), 11)
        self.scenario.import_and_post(self._approved(line, at, sales=False), at)
        self.scenario.excluded(line, "other-company")

    def play_time(self) -> None:
        """Simulate a consultant's hours: a cost of the same project that belongs to no document."""
        day = date(2024, 11, 20)
        line = DocumentLine(transaction="", date=day, amount=money(640), category="Hours-Hour", project="P-001001-D")
        actual = self.flow.actual(line, None, moment(day, 17))
        self.flow.stage(actual, moment(day, 17, 1))
        self.scenario.import_and_post([actual], moment(day, 17))

    def reconciled(self, line: ExpenseLine, at: datetime) -> None:
        """Every step succeeded."""
        actuals = self._approved(line, at)
        self.scenario.import_and_post(actuals, at)
        self._booked = actuals[0]
        self.scenario.reconciled(line)

    def status_without_voucher(self, line: ExpenseLine, at: datetime) -> None:
        """Processed by its status alone."""
        self.reconciled(replace(line, voucher=""), at)

    def voucher_without_status(self, line: ExpenseLine, at: datetime) -> None:
        """Processed by its voucher alone; the status stays at Ready."""
        self.expenses.enter(line, at - timedelta(hours=26))
        self.expenses.approve(line, at - timedelta(hours=3), status=state.READY)
        self.expenses.post(line, at, status=None)
        self.scenario.import_and_post(self._after_posting(line, at), at)
        self.scenario.reconciled(line)

    def corrected(self, line: ExpenseLine, at: datetime) -> None:
        """The first actual was reversed and replaced; all three are posted."""
        _, (original,) = self._with_source(line, at)
        later = at + timedelta(hours=2)
        reversal = self.flow.reverse(original, None, later)
        replacement = self.flow.replace(original, None, later + timedelta(seconds=10))
        self.scenario.stage([reversal, replacement], later + timedelta(seconds=20))
        self.scenario.import_and_post([original, reversal, replacement], at)
        self.scenario.reconciled(line)

    def line_imported_again(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line was deleted before posting; the next import created a new one, which is posted."""
        (cost,) = self._approved(line, at, sales=False)
        self.scenario.stick(cost, line_state.DRAFT, at)
        self.flow.delete_line(cost, at + timedelta(days=1, hours=6))
        self.scenario.import_and_post([cost], at + timedelta(days=1))
        self.scenario.reconciled(line)

    def line_moved(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line had an error, moved to a new journal and is posted there."""
        (cost,) = self._approved(line, at, sales=False)
        self.scenario.stick(cost, line_state.ERROR, at)
        night = moment(at.date() + timedelta(days=2), 4)
        journal = self.flow.daily_journal(line.company, night, night + timedelta(hours=6))
        self.flow.move(cost, journal, night + timedelta(seconds=30))
        self.flow.post(cost, night + timedelta(hours=5))
        self.scenario.reconciled(line)

    def corrected_external_id(self, line: ExpenseLine, at: datetime) -> None:
        """Dataverse had the transaction id of another expense until it was corrected."""
        self.expenses.process(line, at)
        wrong = f"{line.company}-PT{line.number - 1:06d}"
        source = self.expenses.export(line, at + _EXPORTED, external_id=wrong)
        self.expenses.correct_external_id(source, line.transaction, at + timedelta(seconds=20))
        self.expenses.decide(source, at + _DECIDED)
        self.scenario.import_and_post(self.scenario.approved_cost(line, source, at + _ACTUAL), at)
        self.scenario.reconciled(line)

    def corrected_transaction(self, line: ExpenseLine, at: datetime) -> None:
        """Finance had another transaction id until the line was approved."""
        self.expenses.enter(replace(line, transaction="USPM-PT990001"), at - timedelta(hours=26))
        self.expenses.correct_transaction(line, at - timedelta(hours=20))
        self.expenses.approve(line, at - timedelta(hours=3))
        self.expenses.post(line, at)
        self.scenario.import_and_post(self._after_posting(line, at), at)
        self.scenario.reconciled(line)

    def corrected_journal_line(self, line: ExpenseLine, at: datetime) -> None:
        """The staging row named the journal line of another document until it was corrected."""
        (cost,) = self._approved(line, at, sales=False)
        if self._booked is None:
            raise ValueError("there is no journal line of another document yet")
        wrong = self._booked.journal_line
        self.flow.rename_line(cost, wrong, at + timedelta(hours=1))
        self.scenario.import_and_post([cost], at)
        self.scenario.reconciled(line)

    def not_written_back(self, line: ExpenseLine, at: datetime) -> None:
        """Posted in Finance, but the voucher never reached Dataverse."""
        self._without_write_back(line, at, staging=True)

    def not_written_to_staging(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line is posted, but the voucher reached not even the staging row."""
        self._without_write_back(line, at, staging=False)

    def staged_twice(self, line: ExpenseLine, at: datetime) -> None:
        """Dual-write put the actual into the staging table twice."""
        (cost,) = self._approved(line, at, sales=False)
        self.flow.stage_twice(cost, at + timedelta(minutes=3))
        self.scenario.import_and_post([cost], at)
        self.scenario.reconciled(line)

    def line_without_state(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line has no status of its own; its journal is posted."""
        (cost,) = self._approved(line, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 2)
        journal = self.flow.daily_journal(line.company, night, night + timedelta(hours=7))
        self.flow.import_line(cost, journal, night + timedelta(minutes=6), status=None)
        self.scenario.reconciled(line)

    def line_unseen_but_posted(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line sent no event, but the staging row has its voucher."""
        (cost,) = self._approved(line, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 2)
        journal = self.flow.daily_journal(line.company, night, night + timedelta(hours=7))
        self.flow.import_line(cost, journal, night + timedelta(minutes=7), event_sent=False)
        self.flow.post(cost, night + timedelta(hours=7), line_event_sent=False)
        self.scenario.reconciled(line)

    def actual_too_small(self, line: ExpenseLine, at: datetime) -> None:
        """The actual is 12.50 less than the document; it is posted nevertheless."""
        self.expenses.process(line, at)
        source = self._approved_source(line, at)
        posted = line.amount - money("12.50")
        cost = self.flow.actual(line, source, at + _ACTUAL, amount=posted)
        self.flow.stage(cost, at + timedelta(seconds=60))
        self.scenario.import_and_post([cost], at)
        self.scenario.label(line, "reconciled", reconciled=posted, difference=money("12.50"))

    def not_imported(self, line: ExpenseLine, at: datetime) -> None:
        """Import from staging has not run."""
        self._approved(line, at)
        self.scenario.misses_journal_line(line, "not-imported")

    def line_never_seen(self, line: ExpenseLine, at: datetime) -> None:
        """The staging row names a journal line that sent no event."""
        (cost,) = self._approved(line, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 3)
        self.flow.import_line(
            cost, self.flow.journal(line.company, night), night + timedelta(seconds=5), event_sent=False
        )
        self.scenario.misses_journal_line(line, "line-not-seen")

    def line_deleted(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line was deleted before posting and not imported again."""
        (cost,) = self._approved(line, at, sales=False)
        self.scenario.stick(cost, line_state.DRAFT, at)
        self.flow.delete_line(cost, at + timedelta(days=1, hours=6))
        self.scenario.misses_journal_line(line, "line-not-seen")

    def stuck(self, status: int) -> StoryFunction:
        """Return a story whose journal line does not get beyond a status."""

        def story(line: ExpenseLine, at: datetime) -> None:
            (cost, *_) = self._approved(line, at)
            self.scenario.misses_journal_line(line, self.scenario.stick(cost, status, at))

        return story

    def replacement_in_draft(self, line: ExpenseLine, at: datetime) -> None:
        """The first actual and its reversal are posted; the line of the replacement is a draft."""
        source, (original,) = self._with_source(line, at)
        later = at + timedelta(hours=2)
        reversal = self.flow.reverse(original, source, later)
        replacement = self.flow.replace(original, source, later + timedelta(seconds=10))
        self.scenario.stage([reversal, replacement], later + timedelta(seconds=20))
        self.scenario.import_and_post([original, reversal], at)
        cause = self.scenario.stick(replacement, line_state.DRAFT, at)
        self.scenario.label(
            line, "missing-journal-line", cause=cause, missing_journal_line=line.amount, reconciled=ZERO
        )

    def not_synced(self, line: ExpenseLine, at: datetime) -> None:
        """Dual-write never copied the expense to Dataverse."""
        self.expenses.process(line, at)
        self.scenario.misses_actual(line, "not-synced-to-dataverse")

    def not_approved(self, status: int) -> StoryFunction:
        """Return a story whose expense is in Dataverse, with a status short of approved."""

        def story(line: ExpenseLine, at: datetime) -> None:
            self.expenses.process(line, at)
            source = self.expenses.export(line, at + _EXPORTED)
            if status == state.DV_SUBMITTED:
                self.expenses.touch(source, at + _DECIDED)
            else:
                self.expenses.decide(source, at + _DECIDED, status)
            self.scenario.misses_actual(line, "not-approved")

        return story

    def no_actual_made(self, line: ExpenseLine, at: datetime) -> None:
        """Approved, but no actual was created."""
        self.expenses.process(line, at)
        self._approved_source(line, at)
        self.scenario.misses_actual(line, "no-actual-made")

    def only_sales_actual(self, line: ExpenseLine, at: datetime) -> None:
        """Approved, but only the sales actual was created."""
        self.expenses.process(line, at)
        source = self._approved_source(line, at)
        sales = self.flow.actual(line, source, at + _ACTUAL, amount=money(120), kind=line_state.UNBILLED_SALES)
        self.flow.stage(sales, at + timedelta(seconds=60))
        self.scenario.misses_actual(line, "no-actual-made")

    def not_synced_back(self, line: ExpenseLine, at: datetime) -> None:
        """The actual is in Dataverse and never reached Finance."""
        self.expenses.process(line, at)
        source = self._approved_source(line, at)
        (cost,) = self.scenario.approved_cost(line, source, at + _ACTUAL, stage=False)
        self.scenario.unsynced.append(cost.amount)
        self.scenario.misses_actual(line, "actual-not-synced-back")

    def cancelled_in_dataverse(self, line: ExpenseLine, at: datetime) -> None:
        """A person deactivated the expense in Dataverse."""
        self.expenses.process(line, at)
        source = self.expenses.export(line, at + _EXPORTED)
        self.expenses.deactivate(source, at + timedelta(minutes=6))
        self.scenario.misses_actual(line, "cancelled-in-dataverse")

    def actual_reversed(self, line: ExpenseLine, at: datetime) -> None:
        """The actual and its reversal cancel each other; neither has been imported."""
        self._reversed(line, at)
        self.scenario.misses_actual(line, "actual-reversed")

    def actual_reversed_and_posted(self, line: ExpenseLine, at: datetime) -> None:
        """The actual and its reversal cancel each other; both are posted."""
        run = moment(at.date(), 14)
        for actual in self._reversed(line, at):
            self.flow.import_and_post(actual, run, run + timedelta(hours=1))
        self.scenario.misses_actual(line, "actual-reversed")

    def no_project(self, line: ExpenseLine, at: datetime) -> None:
        """A cost without a project never leaves Finance."""
        line = replace(line, project="", transaction="")
        self.expenses.process(line, at)
        self.scenario.excluded(line, "no-project")

    def cancelled(self, line: ExpenseLine, at: datetime) -> None:
        """Posted, then cancelled in Finance."""
        self.expenses.process(line, at)
        self.expenses.cancel(line, at + timedelta(days=1))
        self.scenario.excluded(line, "cancelled")

    def intercompany(self, line: ExpenseLine, at: datetime) -> None:
        """The cost is charged to another company."""
        line = replace(line, charged_to="GBPM")
        self.expenses.process(line, at)
        source = self._approved_source(line, at)
        self.flow.actual(line, source, at + _ACTUAL, skip_sync=True)
        self.scenario.excluded(line, "intercompany-cost")

    def skip_sync(self, line: ExpenseLine, at: datetime) -> None:
        """The only cost actual is excluded from dual-write by Skip Sync."""
        self.expenses.process(line, at)
        source = self._approved_source(line, at)
        self.flow.actual(line, source, at + _ACTUAL, skip_sync=True)
        self.scenario.excluded(line, "skip-sync")

    def draft(self, line: ExpenseLine, at: datetime) -> None:
        """Entered only: not a document yet."""
        self.expenses.enter(replace(line, voucher=""), at)

    def draft_deleted(self, line: ExpenseLine, at: datetime) -> None:
        """Entered and deleted again: not a document."""
        self.expenses.enter(replace(line, voucher=""), at)
        self.expenses.delete(line, at + timedelta(hours=1))

    def draft_cancelled(self, line: ExpenseLine, at: datetime) -> None:
        """Approved and cancelled before posting: not a document."""
        line = replace(line, voucher="")
        self.expenses.enter(line, at)
        self.expenses.approve(line, at + timedelta(hours=2))
        self.expenses.cancel(line, at + timedelta(hours=5))

    def _line(self, planned: PlannedExpense, number: int) -> ExpenseLine:
        return ExpenseLine(
            record=self.scenario.recorder.record_id("TrvExpTrans"),
            number=number,
            transaction=f"USPM-PT{number:06d}",
            voucher=f"USPM-{number:06d}",
            date=planned.day,
            amount=planned.amount,
            category=CATEGORIES[number % len(CATEGORIES)],
            project=PROJECTS[number // 2 % len(PROJECTS)],
            currency=planned.currency,
            rate=planned.rate,
            charged_to="USPM" if number % 5 == 0 else "",
        )

    def _plain_scenes(self) -> list[PlannedExpense]:
        chance = self.scenario.recorder.chance
        days = [date(2024, 1, 15), date(2024, 2, 29), date(2024, 3, 1)]
        step = (date(2025, 1, 2) - days[-1]) / (_PLAIN_RECONCILED - len(days))
        days += [days[2] + step * index for index in range(1, _PLAIN_RECONCILED - 2)]
        return [PlannedExpense(day, cents(chance.randrange(1_200, 180_000)), self.reconciled) for day in days]

    def _special_scenes(self) -> list[PlannedExpense]:
        return [*self._odd_reconciled(), *self._unposted_journal_lines(), *self._excluded(), *self._before_window()]

    def _odd_reconciled(self) -> list[PlannedExpense]:
        return [
            PlannedExpense(date(2024, 4, 10), money(250), self.reconciled, "EUR", Decimal(110)),
            PlannedExpense(date(2024, 7, 18), money("87.35"), self.reconciled, "EUR", Decimal("108.37")),
            PlannedExpense(date(2024, 5, 6), money(300), self.corrected),
            PlannedExpense(date(2024, 6, 3), money("145.20"), self.line_imported_again),
            PlannedExpense(date(2024, 6, 24), money("512.75"), self.line_moved),
            PlannedExpense(date(2024, 7, 8), money("98.40"), self.corrected_external_id),
            PlannedExpense(date(2024, 8, 1), money(230), self.corrected_transaction),
            PlannedExpense(date(2024, 8, 20), money(76), self.corrected_journal_line),
            PlannedExpense(date(2024, 9, 9), money(410), self.not_written_back),
            PlannedExpense(date(2024, 12, 16), money(155), self.not_written_to_staging),
            PlannedExpense(date(2024, 9, 23), money("64.90"), self.staged_twice),
            PlannedExpense(date(2024, 10, 2), money(88), self.line_without_state),
            PlannedExpense(date(2024, 10, 21), money(119), self.line_unseen_but_posted),
            PlannedExpense(date(2024, 11, 4), money(320), self.actual_too_small),
            PlannedExpense(date(2024, 11, 11), money(-45), self.reconciled),
            PlannedExpense(date(2024, 11, 25), money(0), self.reconciled),
            PlannedExpense(date(2024, 12, 2), money(205), self.status_without_voucher),
            PlannedExpense(date(2024, 12, 9), money(134), self.voucher_without_status),
        ]

    def _unposted_journal_lines(self) -> list[PlannedExpense]:
        """5,000.00 in total: the documented tile."""
        return [
            PlannedExpense(date(2024, 9, 30), money(400), self.stuck(line_state.UNRECOVERABLE)),
            PlannedExpense(date(2024, 10, 28), money(600), self.stuck(line_state.INVALID)),
            PlannedExpense(date(2024, 11, 18), money(300), self.line_never_seen),
            PlannedExpense(date(2024, 12, 4), money(600), self.line_deleted),
            PlannedExpense(date(2024, 12, 11), money(650), self.stuck(line_state.ERROR)),
            PlannedExpense(date(2024, 12, 18), money(450), self.stuck(line_state.PROCESSING)),
            PlannedExpense(date(2024, 12, 20), money(250), self.replacement_in_draft),
            PlannedExpense(date(2024, 12, 30), money(550), self.stuck(line_state.DRAFT)),
            PlannedExpense(date(2025, 1, 3), money(1200), self.not_imported),
        ]

    def _excluded(self) -> list[PlannedExpense]:
        return [
            PlannedExpense(date(2024, 4, 22), money(35), self.no_project),
            PlannedExpense(date(2024, 8, 12), money(48), self.no_project),
            PlannedExpense(date(2024, 5, 20), money(140), self.cancelled),
            PlannedExpense(date(2024, 6, 12), money(760), self.intercompany),
            PlannedExpense(date(2024, 9, 16), money(95), self.skip_sync),
            PlannedExpense(date(2024, 10, 8), money(22), self.draft),
            PlannedExpense(date(2024, 10, 9), money(23), self.draft_deleted),
            PlannedExpense(date(2024, 10, 10), money(24), self.draft_cancelled),
        ]

    def _before_window(self) -> list[PlannedExpense]:
        return [
            PlannedExpense(date(2024, 1, 22), money(75), self.not_approved(state.DV_SUBMITTED)),
            PlannedExpense(date(2024, 2, 12), money(120), self.stuck(line_state.DRAFT)),
            PlannedExpense(date(2024, 2, 20), money(180), self.reconciled),
        ]

    def _flight_stories(self) -> list[StoryFunction]:
        """Return forty stories of 100.00 each: the documented 4,000.00 in total."""
        return [
            *[self.not_synced] * 16,
            *[self.not_approved(state.DV_SUBMITTED)] * 6,
            *[self.not_approved(state.DV_REJECTED)] * 2,
            *[self.not_approved(state.DV_RECALL)] * 2,
            *[self.no_actual_made] * 5,
            self.only_sales_actual,
            *[self.not_synced_back] * 2,
            *[self.cancelled_in_dataverse] * 3,
            *[self.actual_reversed] * 2,
            self.actual_reversed_and_posted,
        ]

    def _approved(self, line: ExpenseLine, at: datetime, *, sales: bool | None = None) -> list[Actual]:
        """Take every step up to the staging rows; unless `sales` is given every second expense has a sales actual."""
        self.expenses.process(line, at)
        return self._after_posting(line, at, sales=sales)

    def _after_posting(self, line: ExpenseLine, at: datetime, *, sales: bool | None = None) -> list[Actual]:
        source = self._approved_source(line, at)
        with_sales = line.number % 2 == 0 if sales is None else sales
        return self.scenario.approved_cost(line, source, at + _ACTUAL, sales=with_sales)

    def _with_source(self, line: ExpenseLine, at: datetime) -> tuple[SourceRecord, list[Actual]]:
        self.expenses.process(line, at)
        source = self._approved_source(line, at)
        return source, self.scenario.approved_cost(line, source, at + _ACTUAL)

    def _approved_source(self, line: ExpenseLine, at: datetime) -> SourceRecord:
        """Return the approved expense in Dataverse; the ways its actuals link to it and its company alternate."""
        self._exported += 1
        source = self.expenses.export(
            line,
            at + _EXPORTED,
            names_company=self._exported % 5 != 4,
            lookup=self._exported % 3 != 2,
            origin=self._exported % 3 != 0,
        )
        self.expenses.decide(source, at + _DECIDED)
        if self._exported % 6 == 0:
            self.expenses.touch(source, at + timedelta(minutes=8))
        return source

    def _reversed(self, line: ExpenseLine, at: datetime) -> list[Actual]:
        source, (original,) = self._with_source(line, at)
        later = at + timedelta(minutes=5)
        reversal = self.flow.reverse(original, source, later)
        self.flow.stage(reversal, later + timedelta(seconds=15))
        return [original, reversal]

    def _without_write_back(self, line: ExpenseLine, at: datetime, *, staging: bool) -> None:
        (cost,) = self._approved(line, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 2)
        journal = self.flow.daily_journal(line.company, night, night + timedelta(hours=7))
        self.flow.import_line(cost, journal, night + timedelta(minutes=5))
        self.flow.post(cost, night + timedelta(hours=6), staging=staging, write_back=False)
        self.scenario.reconciled(line)

    def _not_posted(self, line: ExpenseLine, at: datetime, status: int) -> None:
        self.expenses.enter(line, at - timedelta(hours=26))
        self.expenses.approve(line, at, status=status)
        self.scenario.label(line, "not-posted")
