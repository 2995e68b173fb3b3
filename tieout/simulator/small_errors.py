"""Process messages of the small company's Finance: current errors, and one that is over.

A journal line with an error names the reason. One night's import found an invoice incomplete; the next night's
import processed it; today's found another one. In the new year a person twice posts a journal of a month that is
closed. An invoice proposal could not be created until its number sequence was extended.
"""

from datetime import UTC, date, datetime, timedelta

from tieout.simulator.company_story import CompanyScenario
from tieout.simulator.integration_journal import ERROR, Actual

IMPORT, POSTING, PROPOSAL = "import-from-staging", "integration-journal-posting", "invoice-proposal"

MISMATCH = (
    "Invoice proposal wasn't processed because of mismatched billed sales actuals with Dataverse. "
    "Please try again later. Contact your administrator if issue still exists."
)
CLOSED = "No open fiscal period was found for the specified accounting date {}."
NO_NUMBER = "The number sequence of invoice proposals is used up."
FAILED = (
    "Integration journal ({}): Line with RecId ({}) and Voucher ({}) failed to post due to (Voucher {} does not "
    "balance as per {}. Debit {}, credit 0.00)."
)

FORGOTTEN = date(2024, 2, 12)
"""Date of the journal line that was not posted while its month was open."""

_POSTED = datetime(2025, 1, 6, 16, 5, tzinfo=UTC), datetime(2025, 1, 7, 15, 20, tzinfo=UTC)
_PROPOSED = datetime(2025, 1, 3, 15, tzinfo=UTC)
_NIGHT = datetime(2025, 1, 6, 9, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


def play_errors(scenario: CompanyScenario) -> None:
    """Report the runs of Import from staging and of posting that have messages."""
    report, company = scenario.recorder.process_reported, scenario.company
    for stuck in scenario.stuck:
        actual = stuck.actual
        if stuck.status == ERROR:
            text = FAILED.format(
                stuck.journal, actual.journal_line, actual.voucher, actual.voucher, _day(actual), actual.amount
            )
            report(POSTING, company, stuck.at, _MINUTE, [(stuck.journal, text)], [stuck.journal])
            if actual.journal is not None and actual.journal.number != stuck.journal:
                # Its line was moved to another journal, and the rest of this one was posted.
                report(POSTING, company, stuck.at + timedelta(days=1), _MINUTE, [], [stuck.journal])
        elif actual.line.date == FORGOTTEN:
            for at in _POSTED:
                report(POSTING, company, at, _MINUTE, [(stuck.journal, CLOSED.format(_day(actual)))], [stuck.journal])
    report(IMPORT, company, _NIGHT, 4 * _MINUTE, [("PI-000211", MISMATCH)])
    report(IMPORT, company, _NIGHT + timedelta(days=1), 3 * _MINUTE, [])
    report(IMPORT, company, _NIGHT + timedelta(days=2), 4 * _MINUTE, [("PI-000213", MISMATCH)])
    report(PROPOSAL, company, _PROPOSED, _MINUTE, [("PI-000209", NO_NUMBER)], ["PI-000209"])
    report(PROPOSAL, company, _PROPOSED + timedelta(hours=2), _MINUTE, [], ["PI-000209"])


def _day(actual: Actual) -> str:
    """Format a date as Finance does in American English."""
    day = actual.line.date
    return f"{day.month}/{day.day}/{day.year}"
