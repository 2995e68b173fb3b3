"""Invoice proposal of the small company: confirmed today, and not created yet because what it bills is not posted."""

from datetime import date

from tieout.simulator.company_story import CompanyScenario, moment
from tieout.simulator.invoice_proposals import InvoiceProposals

NUMBER = "PI-000214"
BILLED_SINCE = date(2024, 12, 30)
CONFIRMED = moment(date(2025, 1, 8), 16)


def play_proposal(scenario: CompanyScenario) -> None:
    """Bill the unbilled sales of the last days; the integration journal has posted none of them."""
    sales = [actual for actual in scenario.sales if actual.line.date >= BILLED_SINCE and not actual.voucher]
    InvoiceProposals(scenario.flow).confirm(NUMBER, sales, CONFIRMED)
