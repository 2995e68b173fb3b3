"""Expenses of the small company: every course an expense can take, on its date."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import count

from tieout.simulator import expenses as state
from tieout.simulator import integration_journal as line_state
from tieout.simulator.company_story import CompanyScenario, cents, moment, money
from tieout.simulator.expenses import ExpenseLine
from tieout.simulator.integration_journal import DocumentLine
from tieout.simulator.small_expense_stories import ExpenseStories, StoryFunction

TODAY = date(2025, 1, 8)
PROJECTS = ("P-001000-D", "P-001001-D", "P-001002-D", "P-001003-D")
CATEGORIES = ("Flight-Expense", "Hotel-Expense", "Meals-Expense", "Car-Expense", "Taxi-Expense")

_PLAIN_RECONCILED = 44
_FIRST_NUMBER = 301
_FIRST_NUMBER_TODAY = 450


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
    schedule = ExpenseSchedule(scenario)
    schedule.play_year()
    schedule.play_today()
    schedule.play_other_company()
    schedule.play_time()


class ExpenseSchedule:
    """Dates and amounts of the expenses, each with the story of its course."""

    def __init__(self, scenario: CompanyScenario) -> None:
        self.scenario = scenario
        self.stories = ExpenseStories(scenario)
        self._numbers: Iterator[int] = count(_FIRST_NUMBER)

    def play_year(self) -> None:
        """Simulate the expenses before today, a few days apart, posted some days after their date."""
        for planned in sorted([*self._plain(), *self._special()], key=lambda planned: planned.day):
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
            planned = PlannedExpense(TODAY - timedelta(days=index), money(60 + 15 * index), self.stories.reconciled)
            line = replace(self._line(planned, _FIRST_NUMBER_TODAY + 60 + index), voucher="")
            self.stories.not_posted(line, moment(TODAY, 10, index), status)

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
        self.scenario.import_and_post(self.stories.approve_and_stage(line, at, sales=False), at)
        self.scenario.excluded(line, "other-company")

    def play_time(self) -> None:
        """Simulate a consultant's hours: a cost of the same project that belongs to no document."""
        day = date(2024, 11, 20)
        line = DocumentLine(transaction="", date=day, amount=money(640), category="Hours-Hour", project="P-001001-D")
        actual = self.scenario.flow.actual(line, None, moment(day, 17))
        self.scenario.flow.stage(actual, moment(day, 17, 1))
        self.scenario.import_and_post([actual], moment(day, 17))

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

    def _plain(self) -> list[PlannedExpense]:
        chance = self.scenario.recorder.chance
        days = [date(2024, 1, 15), date(2024, 2, 29), date(2024, 3, 1)]
        step = (date(2025, 1, 2) - days[-1]) / (_PLAIN_RECONCILED - len(days))
        days += [days[2] + step * index for index in range(1, _PLAIN_RECONCILED - 2)]
        return [PlannedExpense(day, cents(chance.randrange(1_200, 180_000)), self.stories.reconciled) for day in days]

    def _special(self) -> list[PlannedExpense]:
        return [*self._odd_reconciled(), *self._unposted_journal_lines(), *self._excluded(), *self._before_window()]

    def _odd_reconciled(self) -> list[PlannedExpense]:
        return [
            PlannedExpense(date(2024, 4, 10), money(250), self.stories.reconciled, "EUR", Decimal(110)),
            PlannedExpense(date(2024, 7, 18), money("87.35"), self.stories.reconciled, "EUR", Decimal("108.37")),
            PlannedExpense(date(2024, 5, 6), money(300), self.stories.corrected),
            PlannedExpense(date(2024, 6, 3), money("145.20"), self.stories.line_imported_again),
            PlannedExpense(date(2024, 6, 24), money("512.75"), self.stories.line_moved),
            PlannedExpense(date(2024, 7, 8), money("98.40"), self.stories.corrected_external_id),
            PlannedExpense(date(2024, 8, 1), money(230), self.stories.corrected_transaction),
            PlannedExpense(date(2024, 8, 20), money(76), self.stories.corrected_journal_line),
            PlannedExpense(date(2024, 9, 9), money(410), self.stories.not_written_back),
            PlannedExpense(date(2024, 12, 16), money(155), self.stories.not_written_to_staging),
            PlannedExpense(date(2024, 9, 23), money("64.90"), self.stories.staged_twice),
            PlannedExpense(date(2024, 10, 2), money(88), self.stories.line_without_state),
            PlannedExpense(date(2024, 10, 21), money(119), self.stories.line_unseen_but_posted),
            PlannedExpense(date(2024, 11, 4), money(320), self.stories.actual_too_small),
            PlannedExpense(date(2024, 11, 11), money(-45), self.stories.reconciled),
            PlannedExpense(date(2024, 11, 25), money(0), self.stories.reconciled),
            PlannedExpense(date(2024, 12, 2), money(205), self.stories.status_without_voucher),
            PlannedExpense(date(2024, 12, 9), money(134), self.stories.voucher_without_status),
        ]

    def _unposted_journal_lines(self) -> list[PlannedExpense]:
        """5,000.00 in total: the documented tile."""
        return [
            PlannedExpense(date(2024, 9, 30), money(400), self.stories.stuck(line_state.UNRECOVERABLE)),
            PlannedExpense(date(2024, 10, 28), money(600), self.stories.stuck(line_state.INVALID)),
            PlannedExpense(date(2024, 11, 18), money(300), self.stories.line_never_seen),
            PlannedExpense(date(2024, 12, 4), money(600), self.stories.line_deleted),
            PlannedExpense(date(2024, 12, 11), money(650), self.stories.stuck(line_state.ERROR)),
            PlannedExpense(date(2024, 12, 18), money(450), self.stories.stuck(line_state.PROCESSING)),
            PlannedExpense(date(2024, 12, 20), money(250), self.stories.replacement_in_draft),
            PlannedExpense(date(2024, 12, 30), money(550), self.stories.stuck(line_state.DRAFT)),
            PlannedExpense(date(2025, 1, 3), money(1200), self.stories.not_imported),
        ]

    def _excluded(self) -> list[PlannedExpense]:
        return [
            PlannedExpense(date(2024, 4, 22), money(35), self.stories.no_project),
            PlannedExpense(date(2024, 8, 12), money(48), self.stories.no_project),
            PlannedExpense(date(2024, 5, 20), money(140), self.stories.cancelled),
            PlannedExpense(date(2024, 6, 12), money(760), self.stories.intercompany),
            PlannedExpense(date(2024, 9, 16), money(95), self.stories.skip_sync),
            PlannedExpense(date(2024, 10, 8), money(22), self.stories.draft),
            PlannedExpense(date(2024, 10, 9), money(23), self.stories.draft_deleted),
            PlannedExpense(date(2024, 10, 10), money(24), self.stories.draft_cancelled),
        ]

    def _before_window(self) -> list[PlannedExpense]:
        return [
            PlannedExpense(date(2024, 1, 22), money(75), self.stories.not_approved(state.DV_SUBMITTED)),
            PlannedExpense(date(2024, 2, 12), money(120), self.stories.stuck(line_state.DRAFT)),
            PlannedExpense(date(2024, 2, 20), money(180), self.stories.reconciled),
        ]

    def _flight_stories(self) -> list[StoryFunction]:
        """Return forty stories of 100.00 each: the documented 4,000.00 in total."""
        return [
            *[self.stories.not_synced] * 16,
            *[self.stories.not_approved(state.DV_SUBMITTED)] * 6,
            *[self.stories.not_approved(state.DV_REJECTED)] * 2,
            *[self.stories.not_approved(state.DV_RECALL)] * 2,
            *[self.stories.no_actual_made] * 5,
            self.stories.only_sales_actual,
            *[self.stories.not_synced_back] * 2,
            *[self.stories.cancelled_in_dataverse] * 3,
            *[self.stories.actual_reversed] * 2,
            self.stories.actual_reversed_and_posted,
        ]
