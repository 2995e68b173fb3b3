"""Courses of the small company's expenses: each story takes a line as far as it gets and records its true outcome."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tieout.simulator import expenses as state
from tieout.simulator import integration_journal as line_state
from tieout.simulator.company_story import CompanyScenario, moment, money
from tieout.simulator.expenses import ExpenseLine
from tieout.simulator.integration_journal import Actual, SourceRecord
from tieout.simulator.scenario import ZERO

_EXPORTED = timedelta(seconds=4)
_DECIDED = timedelta(seconds=40)
_ACTUAL = timedelta(seconds=46)

_CAUSES = {
    state.DV_SUBMITTED: "not-approved",
    state.DV_REJECTED: "rejected-in-dataverse",
    state.DV_RECALL: "recalled-in-dataverse",
}
"""The true cause of an expense whose status in Dataverse is short of approved."""

StoryFunction = Callable[[ExpenseLine, datetime], None]


class ExpenseStories:
    """The stories of expenses; each one ends by recording its true outcome."""

    def __init__(self, scenario: CompanyScenario) -> None:
        self.scenario = scenario
        self.flow = scenario.flow
        self.expenses = scenario.expenses
        self._exported = 0
        self._last_posted: Actual | None = None

    def reconciled(self, line: ExpenseLine, at: datetime) -> None:
        """Every step succeeded."""
        actuals = self.approve_and_stage(line, at)
        self.scenario.import_and_post(actuals, at)
        self._last_posted = actuals[0]
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
        (cost,) = self.approve_and_stage(line, at, sales=False)
        self.scenario.stick(cost, line_state.DRAFT, at)
        self.flow.delete_line(cost, at + timedelta(days=1, hours=6))
        self.scenario.import_and_post([cost], at + timedelta(days=1))
        self.scenario.reconciled(line)

    def line_moved(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line had an error, moved to a new journal and is posted there."""
        (cost,) = self.approve_and_stage(line, at, sales=False)
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
        (cost,) = self.approve_and_stage(line, at, sales=False)
        if self._last_posted is None:
            raise ValueError("there is no journal line of another document yet")
        wrong = self._last_posted.journal_line
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
        (cost,) = self.approve_and_stage(line, at, sales=False)
        self.flow.stage_twice(cost, at + timedelta(minutes=3))
        self.scenario.import_and_post([cost], at)
        self.scenario.reconciled(line)

    def line_without_state(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line has no status of its own; its journal is posted."""
        (cost,) = self.approve_and_stage(line, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 2)
        journal = self.flow.daily_journal(line.company, night, night + timedelta(hours=7))
        self.flow.import_line(cost, journal, night + timedelta(minutes=6), status=None)
        self.scenario.reconciled(line)

    def line_unseen_but_posted(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line sent no event, but the staging row has its voucher."""
        (cost,) = self.approve_and_stage(line, at, sales=False)
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
        self.approve_and_stage(line, at)
        self.scenario.misses_journal_line(line, "not-imported")

    def line_never_seen(self, line: ExpenseLine, at: datetime) -> None:
        """The staging row names a journal line that sent no event."""
        (cost,) = self.approve_and_stage(line, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 3)
        self.flow.import_line(
            cost, self.flow.journal(line.company, night), night + timedelta(seconds=5), event_sent=False
        )
        self.scenario.misses_journal_line(line, "line-not-seen")

    def line_deleted(self, line: ExpenseLine, at: datetime) -> None:
        """The journal line was deleted before posting and not imported again."""
        (cost,) = self.approve_and_stage(line, at, sales=False)
        self.scenario.stick(cost, line_state.DRAFT, at)
        self.flow.delete_line(cost, at + timedelta(days=1, hours=6))
        self.scenario.misses_journal_line(line, "line-not-seen")

    def stuck(self, status: int) -> StoryFunction:
        """Return a story whose journal line does not get beyond a status."""

        def story(line: ExpenseLine, at: datetime) -> None:
            (cost, *_) = self.approve_and_stage(line, at)
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
            self.scenario.misses_actual(line, _CAUSES[status])

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

    def approve_and_stage(self, line: ExpenseLine, at: datetime, *, sales: bool | None = None) -> list[Actual]:
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
        (cost,) = self.approve_and_stage(line, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 2)
        journal = self.flow.daily_journal(line.company, night, night + timedelta(hours=7))
        self.flow.import_line(cost, journal, night + timedelta(minutes=5))
        self.flow.post(cost, night + timedelta(hours=6), staging=staging, write_back=False)
        self.scenario.reconciled(line)

    def not_posted(self, line: ExpenseLine, at: datetime, status: int) -> None:
        """Enter an expense that is approved or ready (`status`), but not posted."""
        self.expenses.enter(line, at - timedelta(hours=26))
        self.expenses.approve(line, at, status=status)
        self.scenario.label(line, "not-posted")
