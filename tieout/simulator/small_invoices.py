"""Vendor invoices of the small company: every course an invoice line can take, with its outcome."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count

from tieout.simulator import integration_journal as line_state
from tieout.simulator import invoices as state
from tieout.simulator.company_story import CompanyScenario, cents, moment, money
from tieout.simulator.integration_journal import Actual, SourceRecord
from tieout.simulator.invoices import Invoice, InvoiceLine

VENDORS = ("USPM-000011", "USPM-000012", "USPM-000013", "USPM-000014")
PROJECTS = ("P-001000-D", "P-001001-D", "P-001002-D", "P-001003-D")
CATEGORIES = ("Materials-Item", "Subcontract-Item")

_EXPORTED = timedelta(seconds=5)
_CONFIRMED = timedelta(seconds=45)
_ACTUALS = timedelta(seconds=55)
_PLAIN = 12
_FIRST_TRANSACTION, _DOCUMENTED_TRANSACTION = 1040, 1100
_FIRST_SOURCE_LINE = 5637200000
_UNPOSTED_JOURNAL_LINES: tuple[tuple[str, date, tuple[tuple[int, int | None], ...]], ...] = (
    ("Inv-11", date(2024, 10, 15), ((500, line_state.UNRECOVERABLE),)),
    ("Inv-10", date(2024, 11, 12), ((1000, line_state.PROCESSING), (1500, line_state.INVALID))),
    ("Inv-8", date(2024, 12, 10), ((4500, line_state.DRAFT), (2500, line_state.ERROR))),
    ("Inv-7", date(2025, 1, 6), ((8000, None),)),
)
"""Amounts and final statuses of their journal lines; with Inv-9 and Inv-12 the documented 23,000.00 in total."""


@dataclass(frozen=True, slots=True)
class ConfirmedLine:
    """A line in Dataverse with the actuals that its confirmation created."""

    line: InvoiceLine
    actuals: list[Actual]


def play_invoices(scenario: CompanyScenario) -> None:
    """Simulate all vendor invoices."""
    stories = InvoiceStories(scenario)
    stories.play_before_window()
    stories.play_reconciled()
    stories.play_excluded()
    stories.play_unposted_journal_lines()
    stories.play_missing_actual()


class InvoiceStories:
    """The stories of invoices; each one ends by recording its true outcome."""

    def __init__(self, scenario: CompanyScenario) -> None:
        self.scenario = scenario
        self.flow = scenario.flow
        self.invoices = scenario.invoices
        self._transactions: Iterator[int] = count(_FIRST_TRANSACTION)
        self._source_lines: Iterator[int] = count(_FIRST_SOURCE_LINE)
        self._vouchers: Iterator[int] = count(10)
        self._exported = 0

    def play_before_window(self) -> None:
        """Simulate invoices of January and February 2024, whose periods are closed: they are in no tile."""
        self._stopped("Inv-1", date(2024, 1, 18), 640, "not-confirmed", state.IN_PROCESS)
        self._stopped("Inv-2", date(2024, 2, 6), 980, "awaiting-manual-verification", state.DRAFT, automatic=False)
        self._stopped("Inv-3", date(2024, 2, 14), 410, "cancelled-in-dataverse", state.CANCELED)
        invoice = self._invoice("Inv-4", date(2024, 2, 21), [money(275)])
        self.invoices.process(invoice, self._posted(invoice))
        self.scenario.misses_actual(invoice.lines[0], "not-synced-to-dataverse")

    def play_reconciled(self) -> None:
        """Simulate a dozen invoices over the year, one of them in euro; two keep their pending rows."""
        chance = self.scenario.recorder.chance
        for index in range(_PLAIN):
            day = date(2024, 3, 5) + timedelta(days=25 * index)
            amounts = [cents(chance.randrange(20_000, 900_000)) for _ in range(1 + index % 3)]
            currency, rate = ("EUR", Decimal(108)) if index == 4 else ("USD", Decimal(100))
            amounts = [money(1000), money(250)] if index == 4 else amounts
            invoice = self._invoice(f"V24-{index + 1:03d}", day, amounts, currency=currency, rate=rate)
            at = self._posted(invoice)
            for confirmed in self._confirm(invoice, at, keep_pending=index in (3, 8)):
                self.scenario.import_and_post(confirmed.actuals, at)
                self.scenario.reconciled(confirmed.line)

    def play_excluded(self) -> None:
        """Simulate lines without a project, lines of another company's project, and an unposted invoice."""
        invoice = self._invoice("V24-101", date(2024, 5, 14), [money(330)], project="")
        self.invoices.process(invoice, self._posted(invoice))
        self.scenario.excluded(invoice.lines[0], "no-project")
        invoice = self._invoice("V24-102", date(2024, 7, 2), [money(1250)], project="P-002000-G", owner="GBPM")
        at = self._posted(invoice)
        for line, source in self._in_dataverse(invoice, at):
            self.flow.actual(line, source, at + _ACTUALS, skip_sync=True)
            self.scenario.excluded(line, "intercompany-cost")
        invoice = self._invoice("V24-103", date(2024, 12, 19), [money(70)])
        self.invoices.enter(invoice, self._posted(invoice))

    def play_unposted_journal_lines(self) -> None:
        """Simulate 23,000.00 in total: the documented tile."""
        for number, day, lines in _UNPOSTED_JOURNAL_LINES:
            invoice = self._invoice(number, day, [money(amount) for amount, _ in lines])
            at = self._posted(invoice)
            for confirmed, (_, status) in zip(self._confirm(invoice, at), lines, strict=True):
                cause = "not-imported" if status is None else self.scenario.stick(confirmed.actuals[0], status, at)
                self.scenario.misses_journal_line(confirmed.line, cause)
        self._journal_line_never_seen(self._invoice("Inv-9", date(2024, 11, 27), [money(3000)]))
        self._half_posted(self._invoice("Inv-12", date(2024, 12, 17), [money(5000)]))

    def play_missing_actual(self) -> None:
        """Simulate Inv-6, line 1, 5,000.00: confirmed today without an actual, the documented tile."""
        self._transactions = count(_DOCUMENTED_TRANSACTION)
        self._vouchers = count(6)
        invoice = self._invoice("Inv-6", date(2025, 1, 8), [money(5000)], vendor="USPM-000011")
        at = moment(invoice.date, 11)
        self._in_dataverse(invoice, at)
        self.scenario.misses_actual(invoice.lines[0], "no-actual-made")

    def _journal_line_never_seen(self, invoice: Invoice) -> None:
        at = self._posted(invoice)
        (confirmed,) = self._confirm(invoice, at, sales=False)
        night = moment(at.date() + timedelta(days=1), 3)
        journal = self.flow.journal(self.scenario.company, night)
        self.flow.import_line(confirmed.actuals[0], journal, night + timedelta(seconds=5), event_sent=False)
        self.scenario.misses_journal_line(confirmed.line, "line-not-seen")

    def _half_posted(self, invoice: Invoice) -> None:
        """Two actuals of one line: 3,000.00 is posted, the journal line of the other 2,000.00 is a draft."""
        at = self._posted(invoice)
        ((line, source),) = self._in_dataverse(invoice, at)
        posted = self.flow.actual(line, source, at + _ACTUALS, amount=money(3000))
        waiting = self.flow.actual(line, source, at + _ACTUALS + timedelta(seconds=3), amount=money(2000))
        self.scenario.stage([posted, waiting], at + _ACTUALS + timedelta(seconds=10))
        self.scenario.import_and_post([posted], at)
        cause = self.scenario.stick(waiting, line_state.DRAFT, at)
        self.scenario.label(
            line,
            "missing-journal-line",
            cause=cause,
            missing_journal_line=waiting.amount,
            reconciled=posted.amount,
        )

    def _stopped(self, number: str, day: date, amount: int, cause: str, stop: int, *, automatic: bool = True) -> None:
        """Simulate an invoice that did not get beyond a status in Dataverse."""
        invoice = self._invoice(number, day, [money(amount)])
        at = self._posted(invoice)
        self.invoices.process(invoice, at)
        header, _ = self.invoices.export(invoice, at + _EXPORTED, automatic=automatic)
        if stop != state.DRAFT:
            self.invoices.set_state(header, stop, at + _CONFIRMED)
        self.scenario.misses_actual(invoice.lines[0], cause)

    def _in_dataverse(
        self, invoice: Invoice, at: datetime, *, keep_pending: bool = False
    ) -> list[tuple[InvoiceLine, SourceRecord]]:
        """Post an invoice, copy it to Dataverse and confirm it; the ways its actuals link to it alternate."""
        self._exported += 1
        self.invoices.process(invoice, at, keep_pending=keep_pending)
        header, sources = self.invoices.export(
            invoice, at + _EXPORTED, lookup=self._exported % 3 != 2, origin=self._exported % 3 != 0
        )
        self.invoices.set_state(header, state.IN_PROCESS, at + timedelta(seconds=25))
        self.invoices.set_state(header, state.CONFIRMED, at + _CONFIRMED)
        return list(zip(invoice.lines, sources, strict=True))

    def _confirm(
        self, invoice: Invoice, at: datetime, *, keep_pending: bool = False, sales: bool | None = None
    ) -> list[ConfirmedLine]:
        confirmed = []
        for line, source in self._in_dataverse(invoice, at, keep_pending=keep_pending):
            with_sales = line.source_line % 2 == 0 if sales is None else sales
            created_at = at + _ACTUALS + timedelta(seconds=15 * line.line_number)
            confirmed.append(
                ConfirmedLine(line, self.scenario.approved_cost(line, source, created_at, sales=with_sales))
            )
        return confirmed

    def _posted(self, invoice: Invoice) -> datetime:
        """Draw the time of an invoice's posting: on its date, in working hours."""
        chance = self.scenario.recorder.chance
        return moment(invoice.date, chance.randint(9, 16), chance.randrange(60))

    def _invoice(
        self,
        number: str,
        day: date,
        amounts: Sequence[Decimal],
        *,
        vendor: str | None = None,
        project: str | None = None,
        owner: str = "USPM",
        currency: str = "USD",
        rate: Decimal = Decimal(100),
    ) -> Invoice:
        lines = [
            self._line(index, day, amount, project=project, owner=owner, currency=currency, rate=rate)
            for index, amount in enumerate(amounts, start=1)
        ]
        voucher = next(self._vouchers)
        return Invoice(number, vendor or VENDORS[voucher % len(VENDORS)], f"USPM-1100{voucher:03d}", tuple(lines))

    def _line(
        self, index: int, day: date, amount: Decimal, *, project: str | None, owner: str, currency: str, rate: Decimal
    ) -> InvoiceLine:
        transaction = next(self._transactions)
        return InvoiceLine(
            record=self.scenario.recorder.record_id("VendInvoiceTrans"),
            line_number=index,
            source_line=next(self._source_lines),
            transaction="" if project == "" else f"USPM-PT{transaction:06d}",
            date=day,
            amount=amount,
            category=CATEGORIES[transaction % len(CATEGORIES)],
            project=PROJECTS[transaction // 2 % len(PROJECTS)] if project is None else project,
            project_company=owner,
            currency=currency,
            rate=rate,
        )
